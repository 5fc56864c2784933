//! The graph as a picture, or as a matrix where it would be too large to be read. Whole without scripts: every node
//! is a link that lights its paths.

use super::Screen;
use super::graph::{Column, Edge, Graph, Node, named, place, who};
use super::held::{Grant, Held};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes of a picture; more of them are a matrix.
pub(super) const NODES_MAX: usize = 200;
/// Most rows and columns of a matrix; a name that is looked for finds the others.
const MATRIX_ROWS_MAX: usize = 500;
const MATRIX_COLUMNS_MAX: usize = 40;

const WIDTH: usize = 1_200;
const BOX_WIDTH: usize = 216;
const BOX_HEIGHT: usize = 38;
const ROW: usize = 48;
const TOP: usize = 44;
/// How far a place stands to the right of the one above it, and how many times at most.
const INDENT: usize = 14;
const INDENTS_MAX: usize = 5;
/// Most letters of a name within a box.
const LETTERS: usize = 25;
const TITLES: [(Column, &str); 4] = [
    (Column::Principal, "Who"),
    (Column::Group, "Groups"),
    (Column::Role, "Roles"),
    (Column::Scope, "Where"),
];

/// The picture or the matrix.
pub(super) fn picture(screen: &Screen<'_>, held: &Held) -> Markup {
    let graph = Graph::of(held, screen.scope, &screen.light);
    let nodes = graph.nodes.len();
    if nodes <= NODES_MAX {
        return svg(screen, &graph);
    }
    // What is lit of it can be few enough.
    let lit = graph.lit();
    html! {
        @if (1..=NODES_MAX).contains(&lit.nodes.len()) { (svg(screen, &lit)) }
        (matrix(screen, held, nodes))
    }
}

const fn left(column: Column) -> usize {
    match column {
        Column::Principal => 8,
        Column::Group => 292,
        Column::Role => 590,
        Column::Scope => 906,
    }
}

fn svg(screen: &Screen<'_>, graph: &Graph) -> Markup {
    let mut rows: BTreeMap<Column, usize> = BTreeMap::new();
    let place = |it: &Node| {
        let row = rows.entry(it.column).or_default();
        let spot = (left(it.column) + it.depth.min(INDENTS_MAX) * INDENT, TOP + *row * ROW);
        *row += 1;
        spot
    };
    let spots: Vec<(usize, usize)> = graph.nodes.iter().map(place).collect();
    let height = TOP + rows.values().copied().max().unwrap_or(1) * ROW;
    let at = |index: usize| spots.get(index).copied().unwrap_or_default();
    html! {
        figure {
            svg.graph viewBox={ "0 0 " (WIDTH) " " (height) } role="group" aria-label="Who holds which role where"
                data-lit=[screen.light.is_on().then_some("yes")] {
                @for (column, title) in TITLES {
                    @if rows.contains_key(&column) { text.soft x=(left(column)) y="26" { (title) } }
                }
                // What is lit lies above what is not.
                @for is_lit in [false, true] {
                    @for it in graph.edges.iter().filter(|it| it.is_lit == is_lit) { (edge(it, at(it.from), at(it.to))) }
                }
                @for (index, it) in graph.nodes.iter().enumerate() { (boxed(screen, it, at(index))) }
            }
            figcaption {
                "Choose anybody, any role or any place, and the paths through it light up. Lines go from who holds a role, through "
                "groups, to where it counts; dashed red ones deny."
            }
        }
    }
}

fn edge(edge: &Edge, from: (usize, usize), to: (usize, usize)) -> Markup {
    let (x, y) = (from.0 + BOX_WIDTH, from.1 + BOX_HEIGHT / 2);
    let (end_x, end_y) = (to.0, to.1 + BOX_HEIGHT / 2);
    let path = match x < end_x {
        true => {
            let middle = x.midpoint(end_x);
            format!("M{x} {y}C{middle} {y} {middle} {end_y} {end_x} {end_y}")
        }
        // From a group to one in the same column: round the outside.
        false => {
            let (out, back) = (x + 40, to.0 + BOX_WIDTH);
            format!("M{x} {y}C{out} {y} {out} {end_y} {back} {end_y}")
        }
    };
    html! {
        path.path d=(path) data-denies=[edge.is_denial.then_some("yes")] data-lit=[edge.is_lit.then_some("yes")] {}
    }
}

fn boxed(screen: &Screen<'_>, node: &Node, (x, y): (usize, usize)) -> Markup {
    let is_chosen = screen.chosen.eq_ignore_ascii_case(&node.key);
    let target = if is_chosen { screen.to("", screen.at) } else { screen.to(&node.key, screen.at) };
    let is_here = node.key == place(screen.scope);
    // What is heard begins with what is seen, and has the whole name where that does not fit.
    let (seen, also) = (short(&node.name), if is_here { ", this place" } else { "" });
    let whole = if seen == node.name { String::new() } else { format!(": {}", node.name) };
    html! {
        a href=(target) data-key=(node.key) data-lit=[node.is_lit.then_some("yes")] data-denies=[node.is_denial.then_some("yes")]
            aria-current=[is_chosen.then_some("true")] aria-label={ (seen) ", " (node.word) (also) (whole) } {
            rect x=(x) y=(y) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="4" data-here=[is_here.then_some("yes")] {}
            text x=(x + 10) y=(y + 17) { (seen) }
            " "
            text.soft x=(x + 10) y=(y + 31) { (node.word) (also) }
        }
    }
}

fn short(name: &str) -> String {
    match name.chars().count() > LETTERS {
        true => name.chars().take(LETTERS - 1).chain(['\u{2026}']).collect(),
        false => name.to_owned(),
    }
}

/// Who holds what at which place, a row for each holder and a column for each place.
fn matrix(screen: &Screen<'_>, held: &Held, nodes: usize) -> Markup {
    let mut cells: BTreeMap<(&str, &str), Vec<&Grant>> = BTreeMap::new();
    let looked_for = screen.find.to_lowercase();
    let is_found = |it: &&Grant| held.name_of(&it.principal).to_lowercase().contains(&looked_for);
    for grant in held.grants.iter().filter(is_found) {
        cells.entry((&grant.principal, &grant.scope)).or_default().push(grant);
    }
    let rows: BTreeSet<(&str, &str)> =
        cells.keys().map(|(id, _)| (held.name_of(id), *id)).collect();
    let columns: BTreeSet<&str> = cells.keys().map(|(_, scope)| *scope).collect();
    let shown = || columns.iter().take(MATRIX_COLUMNS_MAX);
    html! {
        p { (nodes) " principals, roles and places are too many for a picture. This is who holds what at which place." }
        form.line method="get" {
            (screen.kept(&["find"]))
            label for="find" { "Whose name holds" }
            input id="find" name="find" value=(screen.find);
            button { "Look" }
        }
        div.matrix role="region" aria-label="Matrix of principals and places" tabindex="0" {
            table {
                caption {
                    (rows.len().min(MATRIX_ROWS_MAX)) " of " (rows.len()) " holders, "
                    (columns.len().min(MATRIX_COLUMNS_MAX)) " of " (columns.len()) " places"
                }
                thead { tr {
                    th scope="col" { "Who" }
                    @for scope in shown() {
                        th scope="col" title=(scope) { a href=(screen.to(&place(scope), screen.at)) { (named(scope).0) } }
                    }
                } }
                tbody {
                    @for (name, id) in rows.iter().take(MATRIX_ROWS_MAX) {
                        tr {
                            th scope="row" { a href=(screen.to(&who(id), screen.at)) { (name) } }
                            @for scope in shown() {
                                td { @for it in cells.get(&(*id, *scope)).into_iter().flatten() {
                                    span.cell data-denies=[it.is_denial.then_some("yes")] { (held.role(&it.role)) }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}
