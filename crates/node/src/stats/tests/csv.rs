//! The CSV, as scripts that know HAProxy's read it.

use super::super::csv;
use super::*;

#[test]
fn the_csv_has_haproxys_columns() {
    let page = Page::start("");
    let (_, head, body) = page.get("anna", "/stats;csv;norefresh");
    assert!(head.contains("content-type: text/csv"), "{head}");
    let mut lines = body.lines();
    let header: Vec<_> = lines.next().unwrap().strip_prefix("# ").unwrap().split(',').collect();
    assert_eq!(header[..9], ["pxname", "svname", "qcur", "qmax", "scur", "smax", "slim", "stot", "bin"]);
    let column = |name: &str| header.iter().position(|one| *one == name).unwrap();
    assert_eq!((column("status"), column("type"), column("hrsp_5xx"), column("ttime")), (17, 32, 43, 61));
    let rows: Vec<Vec<String>> = lines.map(fields).collect();
    assert!(rows.iter().all(|row| row.len() == header.len()), "{rows:?}");
    let names: Vec<_> = rows.iter().map(|row| (&*row[0], &*row[1])).collect();
    assert_eq!(
        names,
        [("web", "FRONTEND"), ("web", "one"), ("web", "spare"), ("web", "two<script>"), ("web", "BACKEND")]
    );
    assert_eq!(["status", "act", "bck"].map(|name| &*rows[3][column(name)]), ["DOWN 1/2", "1", "0"]);
    // So many are left until it is down; and HAProxy's number, 4 at best.
    assert_eq!([1, 2, 3].map(|row| &*rows[row][column("status")]), ["UP 2/3", "no check", "DOWN 1/2"]);
    assert_eq!([1, 2, 3].map(|row| &*rows[row][column("check_health")]), ["3", "", "1"]);
    assert_eq!(["check_rise", "check_fall"].map(|name| &*rows[1][column(name)]), ["2", "3"]);
    assert_eq!(rows[3][column("last_chk")], "connection, \"refused\" <&>");
    assert_eq!((&*rows[1][column("stot")], &*rows[1][column("lastchg")]), ("12345", "3661"));
    assert_eq!((&*rows[0][column("status")], &*rows[4][column("status")]), ("OPEN", "UP"));
    // The pool's are not the servers' together.
    assert_eq!(["chkdown", "lastchg", "downtime"].map(|name| &*rows[4][column(name)]), ["3", "61", "42"]);
}

/// The fields of a line (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let last = fields.last_mut().unwrap();
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => last.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            character => last.push(character),
        }
    }
    fields
}

#[test]
fn csv_is_asked_for_as_scripts_do_and_the_operator_s_words_are_shown() {
    let page = Page::start("");
    for place in ["/haproxy?stats;csv", "/?;csv", "/stats?stats;csv;norefresh"] {
        let (status, _, body) = page.get("anna", place);
        assert!(status == 200 && body.starts_with("# pxname,"), "{place}: {body}");
    }
    page.fake.set(Wish::Drain, "web", "one", "").unwrap();
    let (_, _, body) = page.get("anna", "/stats");
    assert!(body.contains("title=\"ready again in 30m; new &lt;disk&gt;; connection"), "{body}");
}

#[test]
fn a_pool_without_a_weight_answers_nobody() {
    let page = Page::start("");
    let row = |weight| {
        let mut report = page.fake.report();
        report.pools[0].servers.iter_mut().for_each(|server| server.effective = weight);
        let text = csv::render(&report);
        let titles = text.lines().next().unwrap().trim_start_matches("# ").split(',');
        let row = text.lines().find(|line| line.starts_with("web,BACKEND,")).unwrap();
        let row: BTreeMap<_, _> = titles.zip(row.split(',')).collect();
        ["status", "act", "bck", "weight"].map(|title| row[title].to_owned())
    };
    assert_eq!(row(2), ["UP", "1", "1", "2"]);
    assert_eq!(row(0), ["DOWN", "0", "0", "0"]);
}
