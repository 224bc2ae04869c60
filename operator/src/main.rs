use clap::{ArgAction, Parser};
use drydock_operator::{Config, Hosts, LeaseName, Shard, init_telemetry, run};
use drydock_operator_core::Defaults;

/// Optimizes, serves and rolls out the models that ModelDeployments name.
#[derive(Debug, Parser)]
#[command(name = "drydock-operator", version)]
struct Args {
    /// Image of the optimization Jobs.
    #[arg(long, env = "DRYDOCK_OPTIMIZER_IMAGE")]
    optimizer_image: String,
    /// Image of the inference-sidecar, where a ModelDeployment names none.
    #[arg(long, env = "DRYDOCK_SIDECAR_IMAGE")]
    sidecar_image: String,
    /// Of both images: Always, IfNotPresent or Never. Default: as Kubernetes chooses by the tag.
    #[arg(long, env = "DRYDOCK_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
    /// Watch this namespace alone.
    #[arg(long, env = "DRYDOCK_NAMESPACE")]
    namespace: Option<String>,
    /// Look after the ModelDeployments alone whose label drydock.dev/shard has this value. Default: those without the label.
    #[arg(long, env = "DRYDOCK_SHARD", default_value = "")]
    shard: Shard,
    /// Port of /metrics, /livez and /readyz.
    #[arg(long, env = "DRYDOCK_HTTP_PORT", default_value_t = 8080)]
    http_port: u16,
    /// ModelDeployments that are worked on at the same time.
    #[arg(long, env = "DRYDOCK_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Hosts that `analysis.external` may ask, separated by commas: names, *.DOMAIN, or * for all; empty: none. Addresses of the node and
    /// of the cloud (loopback, link-local, metadata) only where they, or the names that lead there, are named.
    #[arg(long, env = "DRYDOCK_EXTERNAL_HOSTS", default_value = "*")]
    external_hosts: Hosts,
    /// Work only while holding a Lease; without it no second replica may run.
    #[arg(long, env = "DRYDOCK_LEADER_ELECT", default_value_t = true, action = ArgAction::Set)]
    leader_elect: bool,
    #[arg(long, env = "DRYDOCK_LEASE_NAME", default_value = "drydock-operator")]
    lease_name: String,
    /// Default: the namespace that the operator runs in.
    #[arg(long, env = "DRYDOCK_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this replica in the Lease and in events, different in each. Default: made up at the start.
    #[arg(long, env = "DRYDOCK_IDENTITY")]
    identity: Option<String>,
    /// What to log, as in RUST_LOG.
    #[arg(long, env = "DRYDOCK_LOG", default_value = "info")]
    log: String,
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        let Args { lease_name: name, lease_namespace: namespace, .. } = args;
        Self {
            defaults: Defaults {
                optimizer_image: args.optimizer_image,
                sidecar_image: args.sidecar_image,
                image_pull_policy: args.image_pull_policy,
            },
            namespace: args.namespace.filter(|n| !n.is_empty()),
            shard: args.shard,
            http_port: args.http_port,
            concurrency: args.concurrency,
            external_hosts: args.external_hosts,
            identity: args.identity.unwrap_or_else(|| format!("drydock-operator-{:08x}", fastrand::u32(..))),
            lease: args.leader_elect.then_some(LeaseName { name, namespace }),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    init_telemetry(&args.log)?;
    // Named, so that it does not depend on which crates of the workspace are built together.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    run(args.into()).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const DEPLOYMENT: &str = include_str!("../../charts/drydock/templates/deployment.yaml");
    const HELPERS: &str = include_str!("../../charts/drydock/templates/_helpers.tpl");

    #[test]
    fn the_chart_sets_only_variables_that_are_read() {
        let command = Args::command();
        command.clone().debug_assert();
        let read: Vec<_> = command.get_arguments().filter_map(|a| a.get_env()?.to_str()).collect();
        let set: Vec<_> = DEPLOYMENT.split("name: ").filter_map(|s| s.split([',', '\n', '}']).next()).collect();
        let set: Vec<_> = set.into_iter().filter(|n| n.starts_with("DRYDOCK_")).collect();
        assert!(set.len() >= 10, "{set:?}");
        assert!(set.iter().all(|n| read.contains(n)), "set: {set:?}, read: {read:?}");
    }

    #[test]
    fn the_chart_grants_every_kind_of_child() {
        for kind in drydock_operator_core::ChildKind::ALL {
            let (group, plural) = (kind.api_version().split_once('/').map_or("\"\"", |(g, _)| g), kind.plural());
            let rule = HELPERS.split("- apiGroups: ").any(|rule| {
                rule.starts_with(&format!("[{group}]"))
                    && rule.contains(plural)
                    && rule.contains("[get, list, watch, create, patch, delete]")
            });
            assert!(rule, "no rule for {group} {plural}");
        }
    }

    /// Two releases of one name in two namespaces would fight over them.
    #[test]
    fn what_has_no_namespace_is_named_after_the_releases() {
        let templates = concat!(
            include_str!("../../charts/drydock/templates/rbac.yaml"),
            "\n---\n",
            include_str!("../../charts/drydock/templates/userroles.yaml")
        );
        let of_cluster = |t: &&str| t.contains("\nkind: ClusterRole");
        let documents: Vec<_> = templates.split("\n---").filter(of_cluster).collect();
        assert_eq!(documents.len(), 4);
        for document in documents {
            // After the part for one namespace alone, where there is one.
            let document = document.rsplit("{{- else }}").next().unwrap_or_default();
            let named: Vec<_> = document.lines().filter(|l| l.starts_with("  name: ")).collect();
            assert_eq!(named.len(), 1, "{document}");
            assert!(named[0].to_lowercase().contains("clustername"), "{document}");
        }
    }

    #[test]
    fn defaults_and_what_is_asked_for() {
        let config = |extra: &[&str]| {
            let images = ["drydock-operator", "--optimizer-image=o", "--sidecar-image=s"];
            Config::from(Args::parse_from(images.iter().chain(extra)))
        };
        assert_eq!(config(&[]).lease.map(|l| l.name).as_deref(), Some("drydock-operator"));
        assert!(config(&["--leader-elect=false"]).lease.is_none());
        assert_ne!(config(&[]).identity, config(&[]).identity);
        assert_eq!(config(&[]).external_hosts, "*".parse().unwrap());
        assert_eq!(config(&["--external-hosts="]).external_hosts, Hosts::default());
        assert_eq!(config(&[]).shard, Shard::default());
        assert_eq!(config(&["--shard=a"]).shard, "a".parse().unwrap());
    }
}
