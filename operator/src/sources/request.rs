use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drydock_operator_core::{Answer, Request, of_prometheus, of_web_hook};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, Url};

use super::hosts::{Allowed, Hosts, is_special};

/// What is read of an answer. One number takes a few hundred bytes.
const MOST: usize = 64 << 10;

/// Sends one question, to whom it may.
pub struct Asker {
    client: Client,
    hosts: Hosts,
}

impl Asker {
    /// Whatever the operator knows, it does not tell: no token, no cookie, no proxy, and nobody sends it elsewhere.
    pub fn new(hosts: Hosts) -> Result<Self, reqwest::Error> {
        // One that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(Resolver(hosts.clone()))
                // Each is asked seconds apart, at its own time.
                .pool_max_idle_per_host(0)
                .user_agent(concat!("drydock-operator/", env!("CARGO_PKG_VERSION")))
        };
        let client = builder().build().or_else(|error| {
            tracing::warn!(%error, "no source of an analysis can be asked over https");
            builder().tls_certs_only([]).build()
        })?;
        Ok(Self { client, hosts })
    }

    pub async fn ask(&self, request: &Request, within: Duration) -> Answer {
        match self.send(request, within).await {
            Ok((status, body)) => match request {
                Request::Prometheus { .. } => of_prometheus(status, &body),
                Request::WebHook { number_at, .. } => of_web_hook(status, &body, number_at.as_deref()),
            },
            Err(why) => Answer::Nothing(why),
        }
    }

    async fn send(&self, request: &Request, within: Duration) -> Result<(u16, Vec<u8>), String> {
        let asked = match request {
            Request::Prometheus { address, query } => {
                let mut url = self.allowed(address)?;
                let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
                url.set_path(&path);
                url.query_pairs_mut().append_pair("query", query);
                self.client.get(url)
            }
            Request::WebHook { url, body, .. } => self.client.post(self.allowed(url)?).json(body),
        };
        body(asked, within)
            .await
            .map_err(|error| tell(&error, within))?
            .ok_or_else(|| format!("its answer is longer than {} KiB", MOST >> 10))
    }

    /// Once the words are filled in, it is another text than the API server has seen.
    fn allowed(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("{url:?} is no address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err("an address is http:// or https://, without a user and a password".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        let Some(allowed) = self.hosts.of(host) else {
            return Err(format!("the operator may not ask {host}: externalHosts of its chart does not name it"));
        };
        // A name is looked at when it is resolved.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) if allowed == Allowed::ByPattern && is_special(address) => Err(refused(address)),
            _ => Ok(url),
        }
    }
}

fn refused(address: IpAddr) -> String {
    format!(
        "the operator does not ask {address}: an address of its node, or of the cloud; externalHosts of its chart can name it"
    )
}

/// `None`: longer than is read.
async fn body(asked: RequestBuilder, within: Duration) -> Result<Option<(u16, Vec<u8>)>, reqwest::Error> {
    let mut response = asked.timeout(within).send().await?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MOST {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some((status, body)))
}

/// In the words of whoever knows best: the innermost.
fn tell(error: &reqwest::Error, within: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {} seconds", within.as_secs());
    }
    let mut why = error.source();
    while let Some(inner) = why.and_then(|e| e.source()) {
        why = Some(inner);
    }
    why.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Leads to no address that may not be asked, also where the name has another one by the time of the request.
struct Resolver(Hosts);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.of(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_refused = |a: &SocketAddr| allowed != Some(Allowed::ByName) && is_special(a.ip());
            if let Some(special) = found.iter().find(|a| is_refused(a)) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused(special.ip())).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
