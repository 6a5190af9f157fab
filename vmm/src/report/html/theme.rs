//! The colours of figures, in one place: a class for each thing that has one, with its colour on light and on dark paper.
//!
//! The palette is that of Okabe and Ito, which people see apart whatever their colour vision; darker where text needs it. Figures
//! use classes and no CSS variables, because programs that turn SVG into other formats know none.

/// What is drawn in a colour of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ink {
    /// A server in a user space of its own.
    User,
    /// In the client's own space.
    OneSpace,
    /// In a small space.
    Small,
    /// In the kernel's half.
    Kernel,
    /// In the kernel's half, on the caller's own thread.
    Direct,
    /// The programs of a round trip.
    Program,
    /// Their stubs.
    Stub,
    /// The kernel's entry stubs.
    Entry,
    /// The fast path up to the switch.
    Path,
    /// The switch, page table and all.
    Switch,
    /// The slow path.
    Slow,
    /// The kernel's exits.
    Exit,
    /// Whatever stands beside the subject.
    Other,
}

impl Ink {
    /// All of them.
    pub const ALL: [Ink; 13] = [
        Ink::User,
        Ink::OneSpace,
        Ink::Small,
        Ink::Kernel,
        Ink::Direct,
        Ink::Program,
        Ink::Stub,
        Ink::Entry,
        Ink::Path,
        Ink::Switch,
        Ink::Slow,
        Ink::Exit,
        Ink::Other,
    ];

    /// Last part of the names of its classes: `f-` fills, `s-` draws lines, `t-` writes.
    pub const fn class(self) -> &'static str {
        match self {
            Ink::User => "user",
            Ink::OneSpace => "one-space",
            Ink::Small => "small",
            Ink::Kernel => "kernel",
            Ink::Direct => "direct",
            Ink::Program => "program",
            Ink::Stub => "stub",
            Ink::Entry => "entry",
            Ink::Path => "path",
            Ink::Switch => "switch",
            Ink::Slow => "slow",
            Ink::Exit => "exit",
            Ink::Other => "other",
        }
    }

    /// On light paper, on dark paper.
    const fn colours(self) -> [&'static str; 2] {
        match self {
            Ink::User => ["#0072b2", "#56b4e9"],
            Ink::OneSpace => ["#2b7a94", "#8fd3e8"],
            Ink::Small => ["#00795a", "#2fc79b"],
            Ink::Kernel => ["#b34700", "#ff9248"],
            Ink::Direct => ["#a23c77", "#e79ac7"],
            Ink::Program => ["#d2d4d8", "#43474e"],
            Ink::Stub => ["#9aa0a8", "#6a717b"],
            Ink::Entry => ["#9ccbe8", "#2f6b91"],
            Ink::Path => ["#4a97c9", "#4a97c9"],
            Ink::Switch => ["#e08214", "#f0a23c"],
            Ink::Slow => ["#c9a800", "#e6c93a"],
            Ink::Exit => ["#c3dcec", "#24506d"],
            Ink::Other => ["#5b616a", "#a9b0ba"],
        }
    }

    /// The same for text, which must stand out from the paper more than an area.
    const fn text_colours(self) -> [&'static str; 2] {
        match self {
            Ink::Path => ["#24658f", "#7fbde6"],
            Ink::Switch => ["#97510a", "#f0a23c"],
            Ink::Slow => ["#776300", "#e6c93a"],
            _ => self.colours(),
        }
    }

    /// Dashes of its lines: the sign besides colour. The drawing in README has the same.
    pub const fn dashes(self) -> &'static str {
        match self {
            Ink::Kernel => "7 4",
            Ink::Small => "2 3",
            Ink::Direct => "9 3 2 3",
            Ink::OneSpace => "4 3",
            Ink::Switch => "6 3",
            Ink::Slow => "2 2",
            _ => "none",
        }
    }
}

/// For which papers a style sheet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// As the reader's screen has it.
    LightOrDark,
    /// Light: for PNG and PDF.
    Light,
}

/// Colours that are no ink's: text, soft text, grid, axis, background.
const PLAIN: [[&str; 5]; 2] = [
    ["#1b1e22", "#5b616a", "#e6e8eb", "#8a9099", "#ffffff"],
    ["#e9ebee", "#a9b0ba", "#2c3036", "#7b828c", "#16181c"],
];

/// Black or white, whichever stands out more from an area of this colour.
fn readable_on(colour: &str) -> &'static str {
    let [dark, light] = ["#15181b", "#ffffff"];
    if contrast(colour, dark) > contrast(colour, light) { dark } else { light }
}

/// The ratio of contrast that WCAG 2 defines, of two colours such as `#0072b2`.
fn contrast(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(luminance);
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let part = colour.get(at..at + 2).and_then(|part| u8::from_str_radix(part, 16).ok()).unwrap_or(0);
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

/// The style sheet of figures.
pub fn style(paper: Paper) -> String {
    let sheet = |index: usize| {
        let [text, soft, grid, axis, background] = PLAIN[index];
        let inks = Ink::ALL.iter().map(|ink| {
            let (class, colour, text) = (ink.class(), ink.colours()[index], ink.text_colours()[index]);
            let on = readable_on(colour);
            format!(".plot .f-{class}{{fill:{colour}}}.plot .s-{class}{{stroke:{colour}}}.plot .t-{class}{{fill:{text}}}.plot .o-{class}{{fill:{on}}}"
            )
        });
        format!(
            ".plot text{{fill:{text}}}.plot .soft{{fill:{soft}}}.plot .grid{{stroke:{grid}}}.plot .axis{{stroke:{axis}}}\
             .plot .paper{{fill:{background}}}.plot .halo{{stroke:{background}}}{}",
            inks.collect::<String>()
        )
    };
    let dashes = Ink::ALL.iter().filter(|ink| ink.dashes() != "none");
    let dashes: String =
        dashes.map(|ink| format!(".plot .d-{}{{stroke-dasharray:{}}}", ink.class(), ink.dashes())).collect();
    let fixed = ".plot{font-family:system-ui,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums}\
                 .plot .line{fill:none;stroke-width:2}.plot .thin{fill:none;stroke-width:1}.plot .band{opacity:.18}\
                 .plot .strong{font-weight:600}.plot .halo{stroke-width:3;paint-order:stroke;stroke-linejoin:round}";
    let dark = match paper {
        Paper::Light => String::new(),
        Paper::LightOrDark => format!("@media screen and (prefers-color-scheme:dark){{{}}}", sheet(1)),
    };
    format!("{fixed}{dashes}{}{dark}", sheet(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4.5 is what WCAG asks of text, 3 of what is drawn.
    #[test]
    fn text_and_lines_stand_out_from_both_papers() {
        for (index, [text, soft, _, _, paper]) in PLAIN.into_iter().enumerate() {
            assert!(contrast(text, paper) > 7.0 && contrast(soft, paper) > 4.5, "{text} {soft}");
            for ink in Ink::ALL {
                let (fill, text) = (ink.colours()[index], ink.text_colours()[index]);
                // Programs and stubs are areas only, and no text is in their colour.
                if !matches!(ink, Ink::Program | Ink::Stub | Ink::Entry | Ink::Exit) {
                    assert!(contrast(text, paper) > 4.5, "{ink:?}: {text} on {paper}");
                }
                assert!(contrast(fill, readable_on(fill)) > 4.5, "{ink:?}: text on {fill}");
            }
        }
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
    }
}
