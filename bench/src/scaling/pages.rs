//! The pages that this program writes: their text lies beside it.

use crate::{contender::Contest, plot, table, validation};

/// All figures.
pub fn figures(large: &[Contest], small: &[Contest], seeds: u32) -> String {
    include_str!("figures.md")
        .replace("{seeds}", &seeds.to_string())
        .replace("{loads}", &table::loads(large))
        .replace("{validation}", &validation::table())
        .replace("{large}", &table::full(large))
        .replace("{small}", &table::full(small))
}

/// What a user wants to know.
pub fn guide(large: &[Contest], seeds: u32) -> String {
    let plot = |contest: &Contest| {
        let (name, about) = (contest.kind.name, contest.kind.about);
        format!("**{name}**: {about}.\n\n![{name}](scaling/{})", plot::file_name(name))
    };
    include_str!("guide.md")
        .replace("{seeds}", &seeds.to_string())
        .replace("{brief}", &table::brief(large))
        .replace("{plots}", &large.iter().map(plot).collect::<Vec<_>>().join("\n\n"))
}
