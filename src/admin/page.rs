//! Pages of lists: `?limit=` and `&page=`, answered as `{"items": […], "next_page": …}`.
//!
//! A page begins after the last item of the one before, so that items that come or go meanwhile neither repeat nor hide others.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Code, Problem};

/// Items of a page where nothing is said.
const USUAL: u32 = 100;
/// Most items of a page.
pub const MOST: u32 = 1000;
/// Longest token of a page.
const MAX_TOKEN: usize = 1024;

/// Which page of a list is asked for. A list with filters has these two fields among its own.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most so many items, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next_page` of the page before.
    pub page: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Asks for the next page; null on the last one.
    pub next_page: Option<String>,
}

/// The part of a list that a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    list: &'static str,
    /// Most items.
    pub limit: usize,
    /// The position of the last item of the page before.
    pub after: Option<String>,
}

impl PageQuery {
    /// The part of the list called `list` that is asked for.
    ///
    /// # Errors
    /// The limit is out of range, or the page is of another list.
    pub fn window(&self, list: &'static str) -> Result<Window, Problem> {
        Window::new(list, self.limit, self.page.as_deref())
    }
}

impl Window {
    /// The part of the list called `list` that is asked for.
    ///
    /// # Errors
    /// The limit is out of range, or the page is of another list.
    pub fn new(list: &'static str, limit: Option<u32>, page: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::invalid("limit", format_args!("allowed is 1 to {MOST}")).with("limit", MOST));
        }
        let after = page.map(|page| position(list, page)).transpose()?;
        Ok(Self { list, limit: limit as usize, after })
    }

    /// Cuts the page out of a whole list. `position` tells an item's place; the list is put in the order of it.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, position: impl Fn(&T) -> String) -> Page<T> {
        let mut placed: Vec<(String, T)> = items.into_iter().map(|item| (position(&item), item)).collect();
        placed.retain(|(place, _)| self.after.as_ref().is_none_or(|after| place > after));
        placed.sort_by(|a, b| a.0.cmp(&b.0));
        placed.truncate(self.limit + 1);
        let (places, items): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
        let mut places = places.into_iter();
        self.page(items, |_| places.next().unwrap_or_default())
    }

    /// The token of the page that begins after `position`.
    #[must_use]
    pub fn token(&self, position: &str) -> String {
        token(self.list, position)
    }

    /// The page of `items`, which were read from after [`Window::after`], one more than [`Window::limit`] where there are so many.
    pub fn page<T>(&self, mut items: Vec<T>, mut position: impl FnMut(&T) -> String) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.iter().map(&mut position).last().filter(|_| more);
        Page { next_page: last.map(|last| token(self.list, &last)), items }
    }
}

fn token(list: &str, position: &str) -> String {
    Base64UrlUnpadded::encode_string(format!("{list}\0{position}").as_bytes())
}

fn position(list: &str, token: &str) -> Result<String, Problem> {
    let bytes = if token.len() > MAX_TOKEN { None } else { Base64UrlUnpadded::decode_vec(token).ok() };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let position = text.as_deref().and_then(|text| text.split_once('\0')).filter(|(of, _)| *of == list);
    position.map(|(_, position)| position.to_owned()).ok_or_else(|| {
        Problem::new(Code::Malformed, "page: not a page of this list: give next_page of the page before as it came")
            .with("field", "page")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(limit: Option<u32>, page: Option<String>) -> Result<Window, Problem> {
        PageQuery { limit, page }.window("letters")
    }

    #[test]
    fn pages_join_to_the_whole_list_also_at_their_ends() {
        for (size, pages) in [(1, 5), (2, 3), (4, 2), (5, 1), (6, 1)] {
            let (mut found, mut page, mut count) = (Vec::new(), None, 0);
            loop {
                let cut = query(Some(size), page).unwrap().cut(["d", "b", "e", "a", "c"], |item| (*item).to_owned());
                found.extend(cut.items);
                count += 1;
                page = cut.next_page;
                if page.is_none() {
                    break;
                }
            }
            assert_eq!((found, count), (vec!["a", "b", "c", "d", "e"], pages), "{size}");
        }
    }

    #[test]
    fn a_limit_is_1_to_1000() {
        for (limit, good) in [(None, true), (Some(1), true), (Some(1000), true), (Some(0), false), (Some(1001), false)]
        {
            assert_eq!(query(limit, None).is_ok(), good, "{limit:?}");
        }
    }

    #[test]
    fn a_page_of_another_list_is_refused() {
        assert_eq!(query(None, Some(token("letters", "b"))).unwrap().after.as_deref(), Some("b"));
        for bad in [token("numbers", "b"), "%".to_owned(), String::new(), "a".repeat(2000), "AAAA".to_owned()] {
            assert_eq!(query(None, Some(bad)).unwrap_err().code(), Code::Malformed);
        }
    }
}
