//! A text in several transactions, for a kernel that takes no long ones: what a process without `CAP_NET_ADMIN` outside of its own
//! user namespace may send at once is limited (`net.core.wmem_max`).

/// Lines with elements in one transaction. Each has 512 elements at most, which are about 50 KiB on their way to the kernel;
/// 416 KiB is what a user namespace may send with Linux's defaults.
const LINES: usize = 4;

/// The transactions that do together what a text does: what is declared, then elements, then rules. A packet that comes
/// between two of them may miss its slot; it is dropped then, and sent again.
pub fn portions(text: &str) -> Vec<String> {
    let (mut declared, mut elements, mut rest) = (String::new(), Vec::new(), String::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (what, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let place = match (what, kind) {
            (_, "element") => {
                elements.push(line);
                continue;
            }
            ("add", "chain") if line.contains(" hook ") => &mut rest,
            ("add", "table" | "chain" | "map" | "set" | "counter") | ("flush", "map" | "set") => {
                &mut declared
            }
            _ => &mut rest,
        };
        place.push_str(line);
        place.push('\n');
    }
    let elements = elements.chunks(LINES).map(|lines| lines.join("\n") + "\n");
    [declared].into_iter().chain(elements).chain([rest]).filter(|text| !text.is_empty()).collect()
}
