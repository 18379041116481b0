//! The issuers whose access tokens are taken: one a line, its URL and then its options.

use url::{Host, Url};

use super::token_algorithm::TokenAlgorithm;

/// The most issuers. Each has a task, and a label in metrics.
const ISSUERS_MAX: usize = 16;

/// The algorithms of an issuer that names none.
const ALGORITHMS: [TokenAlgorithm; 2] = [TokenAlgorithm::Rs256, TokenAlgorithm::Es256];

const ALGORITHM_RULE: &str = "algorithms must be of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA: \
    neither none nor HS256 proves an issuer";

/// An issuer whose access tokens are taken.
#[derive(Clone, Debug)]
pub struct OidcIssuer {
    /// Its URL, exactly as its tokens and its discovery document have it.
    pub url: String,
    /// The audiences that mean this service; at least one.
    pub audiences: Vec<String>,
    /// How its tokens may be signed; at least one.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Where its keys are, if its discovery document isn't asked.
    pub jwks_url: Option<Url>,
    /// Whether `typ` may be `JWT` too: for issuers that don't follow RFC 9068.
    pub takes_plain_jwt: bool,
    /// Where its tokens say what their holder may do.
    pub claims: ClaimNames,
}

/// The names of claims.
#[derive(Clone, Debug)]
pub struct ClaimNames {
    /// The role's name.
    pub role: String,
    /// A kitchen's shops.
    pub shops: String,
    /// A customer's UUID.
    pub customer: String,
    /// A courier's id.
    pub courier: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            role: "trackops_role".into(),
            shops: "trackops_shops".into(),
            customer: "trackops_customer".into(),
            courier: "trackops_courier".into(),
        }
    }
}

impl OidcIssuer {
    fn new(url: &str) -> Result<Self, String> {
        let parsed = safe_url(url)?;
        if parsed.query().is_some() {
            return Err("the URL must have no query".into());
        }
        Ok(Self {
            url: url.into(),
            audiences: Vec::new(),
            algorithms: ALGORITHMS.into(),
            jwks_url: None,
            takes_plain_jwt: false,
            claims: ClaimNames::default(),
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("{name} is empty"));
        }
        let claims = &mut self.claims;
        match name {
            "audience" => {
                self.audiences = value.split(',').map(str::to_owned).collect();
                if self.audiences.iter().any(String::is_empty) {
                    return Err("an audience is empty".into());
                }
            }
            "algorithms" => {
                let named = value.split(',').map(TokenAlgorithm::parse);
                self.algorithms = named.collect::<Option<_>>().ok_or(ALGORITHM_RULE)?;
            }
            "jwks_url" => {
                let url = safe_url(value).map_err(|rule| format!("jwks_url: {rule}"))?;
                self.jwks_url = Some(url);
            }
            "typ" => {
                self.takes_plain_jwt = match value {
                    "at+jwt" => false,
                    "at+jwt,JWT" => true,
                    _ => return Err("typ must be at+jwt, or at+jwt,JWT".into()),
                }
            }
            "role_claim" => value.clone_into(&mut claims.role),
            "shops_claim" => value.clone_into(&mut claims.shops),
            "customer_claim" => value.clone_into(&mut claims.customer),
            "courier_claim" => value.clone_into(&mut claims.courier),
            _ => {
                return Err(format!(
                    "{name:?} is no option: there are audience, algorithms, jwks_url, typ, role_claim, shops_claim, \
                     customer_claim and courier_claim"
                ));
            }
        }
        Ok(())
    }
}

/// Reads the issuers: one a line (or between semicolons), its URL and then `option=value` between spaces. The error
/// says which issuer, and what is wrong.
pub fn parse(text: &str) -> Result<Vec<OidcIssuer>, String> {
    let lines = text.split(['\n', ';']).map(str::trim);
    let mut issuers = Vec::<OidcIssuer>::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let number = issuers.len() + 1;
        let issuer = issuer(line).map_err(|rule| format!("issuer {number}: {rule}"))?;
        if issuers.iter().any(|known| known.url == issuer.url) {
            return Err(format!("issuer {number}: its URL stands twice"));
        }
        issuers.push(issuer);
    }
    if issuers.len() > ISSUERS_MAX {
        return Err(format!("must be at most {ISSUERS_MAX} issuers"));
    }
    Ok(issuers)
}

fn issuer(line: &str) -> Result<OidcIssuer, String> {
    let mut words = line.split_whitespace();
    let mut issuer = OidcIssuer::new(words.next().unwrap_or_default())?;
    let mut given = Vec::new();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{word:?} must be option=value"))?;
        if given.contains(&name) {
            return Err(format!("{name} stands twice"));
        }
        issuer.set(name, value)?;
        given.push(name);
    }
    if issuer.audiences.is_empty() {
        return Err("audience must be set: the name by which its tokens mean this service".into());
    }
    Ok(issuer)
}

/// A URL whose answer nobody on the way can change: by HTTPS, or on this machine.
fn safe_url(text: &str) -> Result<Url, String> {
    let rule = "must be a URL such as https://id.example, without user and fragment";
    let url = Url::parse(text).map_err(|_| rule)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !is_plain || url.fragment().is_some() || url.host().is_none() {
        return Err(rule.into());
    }
    if !is_safe(&url) {
        return Err("must begin with https://; http:// is for loopback only".into());
    }
    Ok(url)
}

/// Whether nobody on the way can change what `url` answers.
pub fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
mod tests {
    use super::super::check::values;
    use super::super::{Config, Flags};
    use super::*;

    #[test]
    fn several_issuers_have_options_of_their_own() {
        let text = "\n https://a.example/realm/ audience=trackops,orders algorithms=ES256,EdDSA\n\
            http://127.0.0.1:9000 audience=trackops jwks_url=http://[::1]:9000/keys typ=at+jwt,JWT role_claim=role;";
        let issuers = parse(text).expect("valid");
        assert_eq!(issuers.len(), 2);
        let (a, b) = (&issuers[0], &issuers[1]);
        assert_eq!(a.url, "https://a.example/realm/");
        assert_eq!(a.audiences, ["trackops", "orders"]);
        assert_eq!(a.algorithms, [TokenAlgorithm::Es256, TokenAlgorithm::EdDsa]);
        assert_eq!(
            (a.takes_plain_jwt, &*a.claims.role),
            (false, "trackops_role")
        );
        assert_eq!(b.algorithms, ALGORITHMS);
        assert_eq!((b.takes_plain_jwt, &*b.claims.role), (true, "role"));
        assert!(b.jwks_url.is_some());
        assert!(parse("").expect("none").is_empty());
    }

    #[test]
    fn what_an_issuer_may_not_be_is_named() {
        let good = "https://a.example audience=trackops";
        for (text, reason) in [
            ("a.example audience=trackops", "must be a URL"),
            ("https:// audience=trackops", "must be a URL"),
            ("https://u:p@a.example audience=trackops", "without user"),
            ("https://a.example?x=1 audience=trackops", "no query"),
            ("http://a.example audience=trackops", "https://"),
            ("http://127.0.0.1.example audience=trackops", "https://"),
            ("ftp://127.0.0.1 audience=trackops", "https://"),
            ("https://a.example", "audience must be set"),
            ("https://a.example audience=", "audience is empty"),
            ("https://a.example audience=a,", "an audience is empty"),
            ("https://a.example audience", "option=value"),
            (&format!("{good} audience=b"), "stands twice"),
            (&format!("{good} algorithms=none"), "algorithms must be"),
            (
                &format!("{good} algorithms=ES256,HS256"),
                "algorithms must be",
            ),
            (&format!("{good} algorithms=es256"), "algorithms must be"),
            (
                &format!("{good} jwks_url=http://a.example/keys"),
                "jwks_url",
            ),
            (&format!("{good} typ=JWT"), "typ must be"),
            (&format!("{good} audiance=b"), "\"audiance\" is no option"),
            (&format!("{good}\n{good}"), "issuer 2: its URL stands twice"),
        ] {
            let mut config = Config::load(None, &Flags::default()).expect("defaults are valid");
            config.access.oidc_issuers = text.into();
            let error = values(&config).expect_err(text).to_string();
            assert!(error.starts_with("oidc_issuers: issuer "), "{error}");
            assert!(error.contains(reason), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
