//! The shape of a product. It must never let a link through that runs something.

use serde::{Deserialize, Serialize};

use super::{
    body::is_id,
    reject::{Code, Reject, json},
    text::clean,
};

/// Products of a stream.
const MAX_PRODUCTS: usize = 200;
/// Characters of a product's title.
const MAX_TITLE: usize = 200;
/// Bytes of a link.
const MAX_LINK: usize = 2048;
/// JavaScript counts this far.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Something that a stream sells.
#[derive(Debug, Serialize, Deserialize)]
struct Product {
    id: String,
    title: String,
    price: Price,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stock: Option<u64>,
}

/// An amount of the smallest unit of a currency.
#[derive(Debug, Serialize, Deserialize)]
struct Price {
    amount: u64,
    currency: String,
}

/// The JSON text of a catalogue, checked and without fields that nobody knows.
///
/// # Errors
/// `bad_request` names what is wrong; `too_large` for more than 200 products.
pub(super) fn catalogue(text: &str) -> Result<String, Reject> {
    let mut products: Vec<Product> = serde_json::from_str(text)
        .map_err(|error| Reject::field("products", &format!("a list of products: {}", plain(&error))))?;
    if products.len() > MAX_PRODUCTS {
        return Err(Reject::new(Code::TooLarge, format!("\"products\" are more than {MAX_PRODUCTS}")));
    }
    for place in 0..products.len() {
        let (before, rest) = products.split_at_mut(place);
        let Some(product) = rest.first_mut() else { break };
        product.check()?;
        if before.iter().any(|other| other.id == product.id) {
            return Err(Reject::field("products", "products with different ids"));
        }
    }
    Ok(json(&products))
}

/// The error without the place in the text, which means nothing to whoever wrote an object.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

impl Product {
    fn check(&mut self) -> Result<(), Reject> {
        if !is_id(&self.id) {
            return Err(Reject::field("products.id", "an id: 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        self.title = clean("products.title", &self.title, MAX_TITLE)?;
        if self.price.amount > MAX_NUMBER {
            return Err(Reject::field("products.price.amount", "a whole number of minor units"));
        }
        let currency = self.price.currency.as_bytes();
        if currency.len() != 3 || !currency.iter().all(u8::is_ascii_uppercase) {
            return Err(Reject::field("products.price.currency", "an ISO 4217 code"));
        }
        for (name, link) in [("products.image", &self.image), ("products.url", &self.url)] {
            if link.as_deref().is_some_and(|link| !is_link(link)) {
                return Err(Reject::field(name, "an http or https URL, or a path"));
            }
        }
        if self.stock.is_some_and(|stock| stock > MAX_NUMBER) {
            return Err(Reject::field("products.stock", "a whole number"));
        }
        Ok(())
    }
}

/// A URL of the web or a path on the page's own host.
fn is_link(link: &str) -> bool {
    let plain = link.len() <= MAX_LINK && !link.chars().any(|symbol| symbol.is_control() || symbol.is_whitespace());
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    // Two slashes, or a slash and a backslash, would be another host.
    let path = link.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    plain && (path || rest.is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_keeps_its_shape_and_loses_what_is_unknown() {
        let text = r#"[{"x":1,"id":"saree-1","title":" Silk ","price":{"amount":129900,"currency":"INR"},"image":"/a.png","stock":3}]"#;
        let wanted = r#"[{"id":"saree-1","title":"Silk","price":{"amount":129900,"currency":"INR"},"image":"/a.png","stock":3}]"#;
        assert_eq!(catalogue(text).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_product_is_refused_by_name() {
        let product =
            |change: &str| format!(r#"[{{"id":"a","title":"A","price":{{"amount":1,"currency":"INR"}}{change}}}]"#);
        assert!(catalogue(&product("")).is_ok());
        let table = [
            ("{}".to_owned(), "products"),
            (r#"[{"id":"a"}]"#.to_owned(), "title"),
            (product(r#","id":"b""#), "id"),
            (r#"[{"id":"a b","title":"A","price":{"amount":1,"currency":"INR"}}]"#.to_owned(), "products.id"),
            (r#"[{"id":"a","title":" ","price":{"amount":1,"currency":"INR"}}]"#.to_owned(), "products.title"),
            (r#"[{"id":"a","title":"A","price":{"amount":-1,"currency":"INR"}}]"#.to_owned(), "integer"),
            (r#"[{"id":"a","title":"A","price":{"amount":1.5,"currency":"INR"}}]"#.to_owned(), "floating"),
            (r#"[{"id":"a","title":"A","price":{"amount":1,"currency":"inr"}}]"#.to_owned(), "currency"),
            (product(r#","url":"javascript:alert(1)""#), "products.url"),
            (product(r#","image":"//evil.example/a.png""#), "products.image"),
            (product(r#","image":"data:image/png;base64,AA""#), "products.image"),
            (product(r#","stock":"3""#), "string"),
        ];
        for (text, names) in table {
            let reject = catalogue(&text).unwrap_err();
            assert_eq!(reject.code, Code::BadRequest, "{text}");
            assert!(reject.message.contains(names), "{text}: {}", reject.message);
        }
        let same = product("").trim_matches(['[', ']']).to_owned();
        assert!(catalogue(&format!("[{same},{same}]")).is_err());
        let many = vec![same; 201].join(",");
        assert_eq!(catalogue(&format!("[{many}]")).unwrap_err().code, Code::TooLarge);
    }
}
