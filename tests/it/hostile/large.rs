//! Inputs of megabytes that are made to cost as much as they can: deep, wide, long, of many small
//! things. A parser that needs more than a fixed share of time or memory for each byte shows with
//! these, and hardly with what libFuzzer finds.

use std::iter::repeat_n;

/// An input for a target, by what it is made of.
pub(crate) struct Large {
    /// The target.
    pub(crate) target: &'static str,
    /// What it is.
    pub(crate) name: &'static str,
    /// About as many bytes as asked for.
    pub(crate) bytes: Vec<u8>,
}

/// Where in a document the many small things go, for each target that reads JSON: what stands
/// before and after.
const PLACES: [(&str, &str, &str); 29] = [
    ("capability", r#"{"resourceType":"CapabilityStatement","instantiates":"#, "}"),
    ("capability", r#"{"resourceType":"CapabilityStatement","rest":"#, "}"),
    ("capability", r#"{"resourceType":"CapabilityStatement","rest":[{"operation":"#, "}]}"),
    ("capability", r#"{"resourceType":"CapabilityStatement","rest":[{"resource":"#, "}]}"),
    (
        "capability",
        r#"{"resourceType":"CapabilityStatement","rest":[{"resource":[{"type":"Observation",
            "interaction":"#,
        "}]}]}",
    ),
    ("discovery", "", ""),
    (
        "discovery",
        r#"{"authorization_endpoint":"a","token_endpoint":"b","code_challenge_methods_supported":"#,
        "}",
    ),
    (
        "discovery",
        r#"{"issuer":"#,
        r#","authorization_endpoint":"a","token_endpoint":"b",
            "code_challenge_methods_supported":["S256"]}"#,
    ),
    ("import_ndjson", r#"{"time":"#, "}"),
    ("one_time_order", r#"{"resourceType":"ServiceRequest","extension":"#, "}"),
    ("one_time_order", r#"{"resourceType":"ServiceRequest","code":{"coding":"#, "}}"),
    ("order_search", r#"{"resourceType":"Bundle","type":"searchset","entry":"#, "}"),
    ("order_search", r#"{"resourceType":"Bundle","type":"searchset","link":"#, "}"),
    (
        "order_search",
        r#"{"resourceType":"Bundle","type":"searchset",
            "entry":[{"resource":{"resourceType":"ServiceRequest","extension":"#,
        "}}]}",
    ),
    (
        "order_search",
        r#"{"resourceType":"Bundle","type":"searchset",
            "entry":[{"resource":{"resourceType":"ServiceRequest","code":{"coding":"#,
        "}}}]}",
    ),
    ("outcome", r#"{"resourceType":"OperationOutcome","issue":"#, "}"),
    ("outcome", r#"{"resourceType":"OperationOutcome","issue":[{"expression":"#, "}]}"),
    ("outcome", r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"#, "}]}"),
    ("outcome", r#"{"resourceType":"OperationOutcome","issue":[{"details":{"coding":"#, "}}]}"),
    ("patient", r#"{"resourceType":"Patient","id":"p-1","name":"#, "}"),
    ("patient", r#"{"resourceType":"Patient","id":"p-1","name":[{"given":"#, "}]}"),
    ("patient", r#"{"resourceType":"Patient","id":"p-1","name":[{"text":"#, "}]}"),
    ("response", r#"{"resourceType":"Bundle","type":"transaction-response","entry":"#, "}"),
    (
        "response",
        r#"{"resourceType":"Bundle","type":"transaction-response",
            "entry":[{"response":{"status":"200","outcome":"#,
        "}}]}",
    ),
    ("search_page", r#"{"resourceType":"Bundle","type":"searchset","entry":"#, "}"),
    ("search_page", r#"{"resourceType":"Bundle","type":"searchset","entry":[{"resource":"#, "}]}"),
    (
        "search_page",
        r#"{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"identifier":"#,
        "}}]}",
    ),
    ("token", "", ""),
    ("token", r#"{"access_token":"a","token_type":"bearer","patient":"p","scope":"#, "}"),
];

/// What is repeated in a list, in a list of such lists, or in a text.
const ELEMENTS: [&str; 6] = [
    "0",
    "{}",
    "[]",
    r#"{"a":0}"#,
    r#"{"name":{},"resource":{},"response":{"status":"200"}}"#,
    r#""""#,
];
/// A list within each element, if the documents have one.
const WITHIN: [(&str, &str); 6] = [
    (r#"{"resource":["#, "]}"),
    (r#"{"operation":["#, "]}"),
    (r#"{"given":["#, "]}"),
    (r#"{"expression":["#, "]}"),
    (r#"{"searchParam":["#, "]}"),
    (r#"{"resource":{"resourceType":"ServiceRequest","extension":["#, "]}}"),
];

/// Documents.
pub(crate) fn documents(size: usize) -> impl Iterator<Item = Large> {
    PLACES.into_iter().flat_map(move |(target, before, after)| {
        let many = |one: &str, mark: &str, room: usize| {
            repeat_n(one, room / (one.len() + mark.len())).collect::<Vec<_>>().join(mark)
        };
        let mut values: Vec<(&'static str, String)> = vec![
            ("open lists", "[".repeat(size)),
            ("open objects", "{\"a\":".repeat(size / 5)),
            ("deep lists", "[".repeat(size / 2) + &"]".repeat(size / 2)),
            ("deep objects", "{\"a\":".repeat(size / 6) + "0" + &"}".repeat(size / 6)),
            (
                "fields",
                format!(
                    "{{{}}}",
                    (0..size / 12).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",")
                ),
            ),
            ("text", format!("\"{}\"", "é ".repeat(size / 3))),
            ("words", format!("\"{}\"", "a ".repeat(size / 2))),
            ("escapes", format!("\"{}\"", "\\u00e9".repeat(size / 6))),
            ("open text", format!("\"{}", "\\\"".repeat(size / 2))),
            ("digits", "9".repeat(size)),
        ];
        values.extend(ELEMENTS.map(|one| ("list", format!("[{}]", many(one, ",", size)))));
        values.extend(WITHIN.map(|(open, close)| {
            let inner = format!("{open}{}{close}", many("{}", ",", size / 8));
            ("lists of lists", format!("[{}]", many(&inner, ",", size)))
        }));
        values.into_iter().map(move |(name, value)| Large {
            target,
            name,
            bytes: format!("{before}{value}{after}").into(),
        })
    })
}

/// Texts that are no documents.
pub(crate) fn texts(size: usize) -> impl Iterator<Item = Large> {
    let scope = |text: &str| text.repeat(size / text.len());
    let callback =
        |text: &str| "com.example.app:/callback?".to_owned() + &text.repeat(16_000 / text.len());
    [
        ("scopes", "words", scope("a ")),
        ("scopes", "grants", scope("patient/*.c ")),
        ("scopes", "restrictions", "patient/Device.c?".to_owned() + &scope("a&")),
        ("scopes", "values", "patient/Device.c?category=".to_owned() + &scope("a,")),
        ("callback", "parameters", callback("&a=")),
        ("callback", "escapes", callback("%41")),
        ("callback", "text", callback("é")),
    ]
    .into_iter()
    .map(|(target, name, text)| Large { target, name, bytes: text.into() })
}

/// Rows of about this many bytes together.
fn rows(size: usize, row: &dyn Fn(usize) -> String) -> String {
    let length = row(0).len().max(1);
    (0..size / length).map(row).collect()
}

fn quotes(size: usize) -> String {
    rows(size, &|_| "\"".repeat(16_000) + "\n")
}

fn commas(size: usize) -> String {
    rows(size, &|_| ",".repeat(16_000) + "\n")
}

/// A minute each, over and over the same half year.
fn time(n: usize) -> String {
    let (minute, hour, day, month) = (n % 60, n / 60 % 24, n / 1_440 % 28, n / 40_320 % 5);
    let second = n / 201_600 % 60;
    format!("2024-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", month + 1, day + 1)
}

/// Files, and rows of files.
pub(crate) fn files(size: usize) -> impl Iterator<Item = Large> {
    any_files(size)
        .into_iter()
        .chain(clarity_files(size))
        .chain(open_files(size))
        .map(|(target, name, text)| Large { target, name, bytes: text.into() })
}

type Named = (&'static str, &'static str, String);

fn any_files(size: usize) -> Vec<Named> {
    vec![
        ("import", "bytes", "a".repeat(size)),
        ("import", "lines", "a\n".repeat(size / 2)),
        ("import", "blank lines", "\n".repeat(size)),
        ("import", "marks", "\u{feff}".repeat(size / 3)),
        (
            "import",
            "header",
            "time,value,unit".to_owned() + &",".repeat(16_000) + "\n" + &commas(size),
        ),
        ("import", "separators", format!(",{}", commas(size))),
    ]
}

fn clarity_files(size: usize) -> Vec<Named> {
    vec![
        ("import_clarity", "blank lines", "\n".repeat(size)),
        ("import_clarity", "quotes", quotes(size)),
        ("import_clarity", "commas", commas(size)),
        (
            "import_clarity",
            "stamps",
            rows(size, &|n| format!("{n},{},EGV,,,,iPhone,100,,,,,,\n", time(n))),
        ),
        (
            "import_clarity",
            "one stamp",
            rows(size, &|n| {
                format!("{n},2024-05-01T08:00:00,EGV,,,,iPhone,{},,,,,,\n", 100 + n % 2)
            }),
        ),
        (
            "import_clarity",
            "counts",
            rows(size, &|n| format!("{n},{},EGV,,,,iPhone,100,,,,,{},82AJ0E\n", time(n), n * 60)),
        ),
        (
            "import_clarity",
            "one count",
            rows(size, &|n| format!("{n},{},EGV,,,,iPhone,100,,,,,1000000,82AJ0E\n", time(n))),
        ),
        (
            "import_clarity",
            "transmitters",
            rows(size, &|n| {
                format!("{n},{},EGV,,,,{},100,,,,,{},{}\n", time(n), n % 400, n * 60, n % 500)
            }),
        ),
        (
            "import_clarity",
            "sources",
            rows(size, &|n| format!("{n},{},EGV,,,,{},100,,,,,,\n", time(n), n % 900)),
        ),
        (
            "import_clarity",
            "more sources than are taken",
            rows(size, &|n| format!("{n},{},EGV,,,,{n},100,,,,,,\n", time(n))),
        ),
        (
            "import_clarity",
            "device rows",
            rows(size, &|n| format!("{n},,Device,,,x Mobile App,{n},,,,,,,\n")),
        ),
        (
            "import_clarity",
            "far apart",
            rows(size, &|n| {
                format!("{n},{:04}-01-01T00:00:00,EGV,,,,a,100,,,,,{n},82AJ0E\n", n % 10_000)
            }),
        ),
    ]
}

fn open_files(size: usize) -> Vec<Named> {
    vec![
        ("import_csv", "readings", rows(size, &|n| format!("{}Z,100,mg/dL,a,ok\n", time(n)))),
        (
            "import_csv",
            "one instant",
            rows(size, &|n| format!("2024-05-01T08:00:00Z,{},mg/dL,a,ok\n", 100 + n % 2)),
        ),
        (
            "import_csv",
            "devices",
            rows(size, &|n| format!("{}Z,100,mg/dL,{},ok\n", time(n), n % 900)),
        ),
        ("import_csv", "refused", rows(size, &|_| ",,,,\n".to_owned())),
        ("import_csv", "quotes", quotes(size)),
        ("import_ndjson", "lines", "{}\n".repeat(size / 3)),
        ("import_ndjson", "open", "[\n".repeat(size / 2)),
        ("import_ndjson", "deep lines", rows(size, &|_| "[".repeat(16_000) + "\n")),
    ]
}
