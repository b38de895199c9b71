//! What the reports in HTML have in common: one file each, which needs nothing else.

use std::fmt::{self, Write};

/// Wide tables become lists on narrow screens, where each cell says with `data-of` what it is.
const STYLE: &str = include_str!("page.css");

/// Writes the beginning of a page: `class` is the colour of its heading, and the title and the heading are HTML already.
pub(super) fn begin(out: &mut String, title: &str, class: &str, heading: &str) -> fmt::Result {
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1 class=\"{class}\">{heading}</h1>"
    )
}
