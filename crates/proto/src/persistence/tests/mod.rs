//! Clients keep their servers, and nobody else notices.

mod affinity;
mod cookies;
mod keys;

/// A request's head with these field lines.
fn request(fields: &[&str]) -> Vec<u8> {
    head("GET /shop/cart?id=7&q=a%20b&empty= HTTP/1.1", fields)
}

fn head(first: &str, fields: &[&str]) -> Vec<u8> {
    let mut head = first.to_owned() + "\r\n";
    for field in fields {
        head += field;
        head += "\r\n";
    }
    (head + "\r\n").into_bytes()
}
