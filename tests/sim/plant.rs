//! One run: a server that is killed and started again, its devices and services, and the trouble they have.

use super::book::{Book, Counts};
use super::disk::Disk;
use super::hub::{self, Ask, PARTITIONS, Plan};
use super::link::link;
use super::random::Random;
use super::{device, service};
use front::mqtt::speak;
use front::sessions::{Client, Room};
use model::Timestamp;
use ops::devices::message::Message;
use ops::{Answer, Env};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use store::log::{Log, Start};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

/// How long everybody has to finish once nothing is in the way: longer than locks and expiries together.
const CALM_S: u64 = 15 * 60;
/// How often messages that nobody received in time are taken out.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What became of a run.
pub struct Run {
    pub fingerprint: u64,
    pub counts: Counts,
    /// What was not as promised, and how it came to that.
    pub broken: Option<(String, String)>,
}

/// Plays the run of a seed.
pub fn run(plan: &'static Plan, seed: u64) -> Run {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let plant = Rc::new(Plant::new(plan, seed));
        plant.live().await;
        let book = plant.book.borrow();
        Run {
            fingerprint: book.fingerprint,
            counts: book.counts,
            broken: book.broken.clone().map(|it| (it, book.story())),
        }
    })
}

pub struct Plant {
    pub plan: &'static Plan,
    pub book: RefCell<Book>,
    random: RefCell<Random>,
    began: Instant,
    disk: RefCell<Disk>,
    life: RefCell<Option<Life>>,
    /// Tasks of lives that are over, and of everybody outside the server.
    tasks: RefCell<Vec<JoinSet<()>>>,
    is_calm: Cell<bool>,
    /// The server is down.
    down: Notify,
}

/// A server that runs.
struct Life {
    env: Arc<Env>,
    room: Room,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    disk: JoinHandle<()>,
}

/// A connection that the server serves, until this is dropped.
struct Served {
    plant: Rc<Plant>,
    device: usize,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.plant.book.borrow_mut().devices[self.device].served -= 1;
    }
}

impl Plant {
    fn new(plan: &'static Plan, seed: u64) -> Self {
        Self {
            plan,
            book: RefCell::new(Book::new(plan.devices.len())),
            random: RefCell::new(Random::new(seed)),
            began: Instant::now(),
            disk: RefCell::new(plan.disk()),
            life: RefCell::new(None),
            tasks: RefCell::new(vec![JoinSet::new()]),
            is_calm: Cell::new(false),
            down: Notify::new(),
        }
    }

    /// A number of the run's own, both bounds included.
    pub fn draw(&self, from: u64, to: u64) -> u64 {
        from + self.random.borrow_mut().below(to - from + 1)
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.draw(1, 100) <= percent
    }

    /// Lets some time pass, both bounds included.
    pub async fn pass_ms(&self, from: u64, to: u64) {
        sleep(Duration::from_millis(self.draw(from, to))).await;
    }

    pub fn now(&self) -> Timestamp {
        hub::now(self.began)
    }

    /// True once nothing is in the way any more.
    pub fn is_calm(&self) -> bool {
        self.is_calm.get()
    }

    pub fn tell(&self, what: &str) {
        let line = format!("{:>7} ms  {what}", self.began.elapsed().as_millis());
        self.book.borrow_mut().tell(line);
    }

    /// Lets somebody outside the server act.
    pub fn act(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut()[0].spawn_local(task);
    }

    async fn live(self: &Rc<Self>) {
        self.start().await;
        for device in 0..self.plan.devices.len() {
            self.act(device::live(Rc::clone(self), device));
            self.act(service::sends(Rc::clone(self), device));
            self.act(service::patches(Rc::clone(self), device));
            self.act(service::invokes(Rc::clone(self), device));
        }
        self.act(service::notes_feedback(Rc::clone(self)));
        self.act(keep_up(Rc::clone(self)));
        self.trouble().await;
        self.is_calm.set(true);
        self.tell("calm");
        for _ in 0..CALM_S {
            let is_over = {
                let book = self.book.borrow();
                book.broken.is_some() || book.open().is_none()
            };
            if is_over {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.kill();
        // Who has panicked does nothing any more.
        self.check_panics().await;
        let open = self.book.borrow().open();
        if let Some(open) = open {
            self.book.borrow_mut().broken(format!("never: {open}"));
        }
        self.check_log().await;
    }

    /// Ends lives of the server, now and then.
    async fn trouble(self: &Rc<Self>) {
        let most_ms = if self.chance(6) { 100_000 } else { 12_000 };
        for _ in 0..self.draw(1, 4) {
            self.pass_ms(500, most_ms).await;
            match self.chance(70) {
                true => self.kill(),
                false => self.stop().await,
            }
        }
        self.pass_ms(1, 5_000).await;
    }

    async fn start(self: &Rc<Self>) {
        let left = {
            let disk = self.disk.borrow();
            Disk { memory: disk.memory.clone(), log: disk.log.clone() }
        };
        let bell = left.slow_down();
        let disk = tokio::task::spawn_local(write(Rc::clone(self), bell));
        let env = self.plan.start(&left, self.began).await;
        let (stop, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(sweep(Arc::clone(&env)));
        self.tell("the server is up");
        *self.life.borrow_mut() = Some(Life { env, room: hub::room(), stop, tasks, disk });
    }

    /// Kills the server: nothing of it runs any more, and what was not synced is lost.
    fn kill(&self) {
        let Some(mut life) = self.life.borrow_mut().take() else { return };
        let unsynced = usize::try_from(self.draw(0, 3)).unwrap();
        let left = self.disk.borrow().killed(unsynced);
        let all = left_behind(&self.disk.borrow(), &left);
        *self.disk.borrow_mut() = left;
        life.tasks.abort_all();
        life.disk.abort();
        self.tasks.borrow_mut().push(life.tasks);
        self.book.borrow_mut().counts.kills += 1;
        self.book.borrow_mut().counts.unsynced += all;
        self.tell("the server is killed");
        self.down.notify_one();
    }

    /// Stops the server in order.
    async fn stop(&self) {
        let Some(mut life) = self.life.borrow_mut().take() else { return };
        self.tell("the server stops");
        life.stop.send_replace(true);
        life.env.presence.stop();
        // Calls that wait for devices, and the sweep, would go on for ever.
        let ends = async {
            while life.tasks.len() > 1
                && let Some(ended) = life.tasks.join_next().await
            {
                self.check_panic(ended);
            }
        };
        let _ = timeout(Duration::from_secs(20), ends).await;
        life.tasks.abort_all();
        life.disk.abort();
        let left = {
            let disk = self.disk.borrow();
            while disk.memory.write_next() {}
            while disk.log.write_next() {}
            disk.killed(0)
        };
        *self.disk.borrow_mut() = left;
        self.tasks.borrow_mut().push(life.tasks);
        self.book.borrow_mut().counts.stops += 1;
        self.tell("the server has stopped");
        self.down.notify_one();
    }

    /// Perhaps kills the server at this very moment.
    fn perhaps_kill(&self) -> bool {
        let is_due = !self.is_calm() && self.draw(0, 599) == 0 && self.life.borrow().is_some();
        if is_due {
            self.kill();
        }
        is_due
    }

    /// Perhaps makes the disk fail: one commit, or every append until the server starts again.
    fn perhaps_fail(self: &Rc<Self>) {
        if self.is_calm() || self.life.borrow().is_none() {
            return;
        }
        let is_log = match self.draw(0, 999) {
            0 => false,
            1 => true,
            _ => return,
        };
        self.tell(if is_log { "the log fails" } else { "a commit fails" });
        self.book.borrow_mut().counts.failures += 1;
        if !is_log {
            return self.disk.borrow().memory.fail_next_commit();
        }
        self.disk.borrow().log.fail_next_append();
        let plant = Rc::clone(self);
        self.act(async move {
            plant.pass_ms(0, 2_000).await;
            plant.kill();
        });
    }

    /// A device opens a connection, where there is a server.
    pub fn connect(self: &Rc<Self>, device: usize) -> Option<DuplexStream> {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let (env, stop, waiting) = {
            let life = self.life.borrow();
            let life = life.as_ref()?;
            (Arc::clone(&life.env), life.stop.subscribe(), life.room.wait(peer)?)
        };
        let (near, far) = link(self);
        let local = self.plan.host.parse().unwrap_or(peer);
        let served = Served { plant: Rc::clone(self), device };
        self.book.borrow_mut().devices[device].served += 1;
        self.book.borrow_mut().counts.connections += 1;
        self.serve(async move {
            let _served = served;
            let local = SocketAddr::new(local, 8_883);
            let client = Client { peer, local, certificate: None, tls: None };
            speak(&env, far, client, waiting, stop).await;
        });
        Some(near)
    }

    /// A task of the server's.
    fn serve(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(life) = &mut *self.life.borrow_mut() {
            life.tasks.spawn_local(task);
        }
    }

    /// A service calls. `None` where nobody knows what came of it, or no server is there.
    pub async fn call(self: &Rc<Self>, ask: Ask<'static>) -> Option<Answer> {
        let env = self.life.borrow().as_ref().map(|it| Arc::clone(&it.env))?;
        let (told, answer) = oneshot::channel();
        let plan = self.plan;
        self.serve(async move {
            let _ = told.send(plan.call(&env, ask).await);
        });
        let answer = answer.await.ok();
        // The answer is a while on its way, and the server may be gone when it comes.
        self.pass_ms(0, 3).await;
        answer
    }

    /// Compares the log with what devices were promised.
    async fn check_log(&self) {
        let log = Log::Memory(self.disk.borrow().log.clone());
        let mut numbers = vec![Vec::new(); self.plan.devices.len()];
        for partition in 0..PARTITIONS {
            let records = log.read(partition, Start::Earliest, 10_000, 8 << 20).await.unwrap();
            for record in records {
                let message = Message::parse(&record.payload).expect("the log holds messages");
                let body = std::str::from_utf8(&message.body).unwrap();
                let device = self.plan.devices.iter().position(|it| it.id == message.device);
                let device = device.expect("a device of the plan");
                match body.strip_prefix("will ") {
                    Some(will) => self.book.borrow_mut().willed(device, will.parse().unwrap()),
                    None => numbers[device].push(body.parse().unwrap()),
                }
            }
        }
        let mut book = self.book.borrow_mut();
        for (device, numbers) in numbers.iter().enumerate() {
            book.check_log(device, numbers);
        }
    }

    /// Looks for tasks that ended as none should.
    async fn check_panics(&self) {
        let all = std::mem::take(&mut *self.tasks.borrow_mut());
        for mut tasks in all {
            tasks.abort_all();
            while let Some(ended) = tasks.join_next().await {
                self.check_panic(ended);
            }
        }
    }

    fn check_panic(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.book.borrow_mut().broken(format!("a panic: {error}"));
        }
    }
}

/// How many records a kill left that were not synced.
fn left_behind(before: &Disk, left: &Disk) -> u64 {
    let next = |disk: &Disk, partition| {
        let log = Log::Memory(disk.log.clone());
        log.bounds(partition).map_or(0, |it| it.next_sequence)
    };
    (0..PARTITIONS).map(|it| next(left, it).abs_diff(next(before, it))).sum()
}

/// Starts the server whenever it is down.
async fn keep_up(plant: Rc<Plant>) {
    loop {
        plant.down.notified().await;
        plant.pass_ms(0, 4_000).await;
        plant.start().await;
    }
}

/// Brings what waits to the disk, late and in pieces.
async fn write(plant: Rc<Plant>, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        loop {
            match plant.chance(4) {
                true => plant.pass_ms(100, 3_000).await,
                false => plant.pass_ms(1, 12).await,
            }
            // What waits is lost.
            if plant.perhaps_kill() {
                return;
            }
            plant.perhaps_fail();
            let mut is_any = false;
            let (commits, appends) = (plant.draw(1, 4), plant.draw(1, 6));
            {
                let disk = plant.disk.borrow();
                (0..commits).for_each(|_| is_any |= disk.memory.write_next());
                (0..appends).for_each(|_| is_any |= disk.log.write_next());
            }
            if !is_any {
                break;
            }
            // What was synced is there, and nobody knows.
            if plant.perhaps_kill() {
                return;
            }
        }
    }
}

async fn sweep(env: Arc<Env>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let _ = ops::devices::sweep(&env).await;
    }
}
