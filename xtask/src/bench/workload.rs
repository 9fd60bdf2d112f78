//! What is asked of the balancers: the table of workloads.

/// A pattern of requests.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Its name, in the table and in the summary.
    pub(crate) name: &'static str,
    /// `http` or `tcp`, in both balancers' files.
    pub(crate) mode: &'static str,
    /// The path asked for at the origins.
    pub(crate) path: &'static str,
    /// Bytes of the body that comes back.
    pub(crate) body_bytes: usize,
    /// Client connections at a time.
    pub(crate) connections: usize,
    /// Header fields of each request, beyond those that wrk sends.
    pub(crate) fields: &'static [&'static str],
    /// Whether the peer tuned for large bodies is measured too.
    pub(crate) tuned_peer: bool,
}

/// All workloads, in the order in which they run.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "http-keepalive-small",
        mode: "http",
        path: "/bytes/200",
        body_bytes: 200,
        connections: 32,
        fields: &[],
        tuned_peer: false,
    },
    Workload {
        name: "http-keepalive-browser",
        mode: "http",
        path: "/bytes/200",
        body_bytes: 200,
        connections: 64,
        fields: BROWSER,
        tuned_peer: false,
    },
    Workload {
        name: "http-connection-per-request",
        mode: "http",
        path: "/bytes/200",
        body_bytes: 200,
        connections: 10,
        fields: &["Connection: close"],
        tuned_peer: false,
    },
    Workload {
        name: "http-keepalive-200k",
        mode: "http",
        path: "/bytes/204800",
        body_bytes: 204_800,
        connections: 16,
        fields: &[],
        tuned_peer: true,
    },
    Workload {
        name: "tcp-keepalive-small",
        mode: "tcp",
        path: "/bytes/200",
        body_bytes: 200,
        connections: 32,
        fields: &[],
        tuned_peer: false,
    },
];

/// What a browser sends with a request for a page: about 800 bytes.
const BROWSER: &[&str] = &[
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: es-ES,es;q=0.9,en;q=0.8",
    "Cache-Control: max-age=0",
    "Cookie: session=4f1c2a9be07d4c5f8a6b3d2e1f0a9b8c; theme=dark; _consent=1.1763700000.necessary",
    "Referer: http://www.example.org/catalogue/2026/autumn/index.html",
    "Sec-Ch-Ua: \"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\"",
    "Sec-Ch-Ua-Mobile: ?0",
    "Sec-Ch-Ua-Platform: \"Linux\"",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-User: ?1",
    "Upgrade-Insecure-Requests: 1",
];
