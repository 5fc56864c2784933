//! Patterns of roles, made from actions that are asked for: exact, cut off, or with wildcards anywhere.

use crate::Random;
use crate::operations::OPERATIONS;
use crate::world::Permission;

/// Most `*` in a pattern: the matcher's time grows with their number.
const STARS_MAX: usize = 3;

pub(crate) fn permission(random: &mut Random) -> Permission {
    let subtracts = random.chance(30);
    let mut list = |from: usize, to: usize| -> Vec<String> {
        let count = from + random.below(to - from + 1);
        (0..count).map(|_| pattern(random)).collect()
    };
    let (actions, data_actions) = (list(1, 3), list(1, 3));
    let (not_actions, not_data_actions) = match subtracts {
        true => (list(0, 1), list(0, 1)),
        false => (Vec::new(), Vec::new()),
    };
    Permission { actions, not_actions, data_actions, not_data_actions }
}

fn pattern(random: &mut Random) -> String {
    let action = action(random);
    let text = match random.below(13) {
        0 | 12 => "*".to_owned(),
        1 => format!("*/{}", action.rsplit('/').next().unwrap_or_default()),
        2 => "Microsoft.Devices/IotHubs/*".to_owned(),
        3 | 4 => starred_segments(random, action),
        5 => starred_letters(random, action),
        6 => with_more_segments(random, action),
        // Nothing matches by its beginning alone.
        7 => action.rsplit_once('/').map_or("", |(it, _)| it).to_owned(),
        8 => format!("{}/*", action.rsplit_once('/').map_or("", |(it, _)| it)),
        _ => action.to_owned(),
    };
    random.cased(&text)
}

fn action(random: &mut Random) -> &'static str {
    loop {
        let operation = random.one_of(OPERATIONS);
        if !operation.actions.is_empty() {
            return random.one_of::<&'static str>(operation.actions);
        }
    }
}

/// Some segments become `*`.
fn starred_segments(random: &mut Random, action: &str) -> String {
    let mut left = STARS_MAX;
    let kept: Vec<&str> = action
        .split('/')
        .map(|it| match random.chance(40) && left > 0 {
            true => {
                left -= 1;
                "*"
            }
            false => it,
        })
        .collect();
    kept.join("/")
}

/// A run of letters becomes `*`, once or twice, wherever it may start.
fn starred_letters(random: &mut Random, action: &str) -> String {
    let mut text = action.to_owned();
    for _ in 0..=random.below(2) {
        let from = random.below(text.len());
        let to = (from + random.below(12)).min(text.len());
        text.replace_range(from..to, "*");
    }
    text
}

/// `/*/` where the action has `/`.
fn with_more_segments(random: &mut Random, action: &str) -> String {
    let mut left = STARS_MAX;
    let mut text = String::new();
    for letter in action.chars() {
        text.push(letter);
        if letter == '/' && left > 0 && random.chance(60) {
            left -= 1;
            text.push_str("*/");
        }
    }
    text
}
