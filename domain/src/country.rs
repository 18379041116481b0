//! Countries, by their codes.

/// Whether `code` is assigned by ISO 3166-1 alpha-2, in capital letters.
pub fn is_country(code: &str) -> bool {
    ASSIGNED.binary_search(&code).is_ok()
}

/// All that are assigned.
pub const fn codes() -> &'static [&'static str] {
    &ASSIGNED
}

/// The officially assigned code elements of ISO 3166-1 alpha-2, 249 of them, as the ISO Online Browsing
/// Platform lists them and tzdata's `iso3166.tab` repeats them. A table, as for the currencies: a crate
/// would bring names, numbers and subdivisions that nobody needs. Reserved and user-assigned codes (UK,
/// EU, XK) are not among them.
#[rustfmt::skip]
const ASSIGNED: [&str; 249] = [
    "AD","AE","AF","AG","AI","AL","AM","AO","AQ","AR","AS","AT","AU","AW","AX","AZ","BA","BB","BD","BE",
    "BF","BG","BH","BI","BJ","BL","BM","BN","BO","BQ","BR","BS","BT","BV","BW","BY","BZ","CA","CC","CD",
    "CF","CG","CH","CI","CK","CL","CM","CN","CO","CR","CU","CV","CW","CX","CY","CZ","DE","DJ","DK","DM",
    "DO","DZ","EC","EE","EG","EH","ER","ES","ET","FI","FJ","FK","FM","FO","FR","GA","GB","GD","GE","GF",
    "GG","GH","GI","GL","GM","GN","GP","GQ","GR","GS","GT","GU","GW","GY","HK","HM","HN","HR","HT","HU",
    "ID","IE","IL","IM","IN","IO","IQ","IR","IS","IT","JE","JM","JO","JP","KE","KG","KH","KI","KM","KN",
    "KP","KR","KW","KY","KZ","LA","LB","LC","LI","LK","LR","LS","LT","LU","LV","LY","MA","MC","MD","ME",
    "MF","MG","MH","MK","ML","MM","MN","MO","MP","MQ","MR","MS","MT","MU","MV","MW","MX","MY","MZ","NA",
    "NC","NE","NF","NG","NI","NL","NO","NP","NR","NU","NZ","OM","PA","PE","PF","PG","PH","PK","PL","PM",
    "PN","PR","PS","PT","PW","PY","QA","RE","RO","RS","RU","RW","SA","SB","SC","SD","SE","SG","SH","SI",
    "SJ","SK","SL","SM","SN","SO","SR","SS","ST","SV","SX","SY","SZ","TC","TD","TF","TG","TH","TJ","TK",
    "TL","TM","TN","TO","TR","TT","TV","TW","TZ","UA","UG","UM","US","UY","UZ","VA","VC","VE","VG","VI",
    "VN","VU","WF","WS","YE","YT","ZA","ZM","ZW",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_codes_are_known_and_no_others() {
        assert!(ASSIGNED.is_sorted(), "the search needs it");
        for code in ["AD", "DE", "GB", "SS", "US", "ZW"] {
            assert!(is_country(code), "{code}");
        }
        for code in ["XX", "UK", "EU", "XK", "AN", "de", "DEU", "D", ""] {
            assert!(!is_country(code), "{code}");
        }
    }
}
