//! Tells requests that never wait for the HSM from the others, by a glance at the bytes (KMIP 1.4 §9.1.1).
//!
//! It reads no more than the operation of each item and allocates nothing. It decides only which threads answer, so where it
//! cannot tell it says no: whether a request is well-formed is found out by whoever answers it.

use kmip::{enums::Operation, tags::Tag};

/// Operations that neither seal nor open material. Clients ask them in bursts, with short time-outs.
const PROMPT: [Operation; 6] = [
    Operation::Locate,
    Operation::Check,
    Operation::GetAttributes,
    Operation::GetAttributeList,
    Operation::Query,
    Operation::DiscoverVersions,
];

/// Whether `operation` is one of them.
pub(super) fn is_prompt_operation(operation: Operation) -> bool {
    PROMPT.contains(&operation)
}

/// Whether `request` is a message of such operations alone.
pub(super) fn is_prompt(request: &[u8]) -> bool {
    items_are_prompt(request).unwrap_or(false)
}

fn items_are_prompt(request: &[u8]) -> Option<bool> {
    let (_, mut fields, _) = split_first(request)?;
    let mut any = false;
    while !fields.is_empty() {
        let (tag, value, rest) = split_first(fields)?;
        fields = rest;
        if tag != Tag::BatchItem {
            continue;
        }
        any = true;
        let (tag, code, _) = split_first(value)?;
        let code = u32::from_be_bytes(*code.first_chunk()?);
        if tag != Tag::Operation || !PROMPT.iter().any(|operation| operation.code() == code) {
            return Some(false);
        }
    }
    Some(any)
}

/// Tag and value of the first item, and what follows it.
fn split_first(items: &[u8]) -> Option<(Tag, &[u8], &[u8])> {
    let ([a, b, c, _item_type, length @ ..], rest) = items.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let value = rest.get(..length)?;
    let rest = rest.get(length.checked_next_multiple_of(8)?..)?;
    Some((Tag(u32::from_be_bytes([0, *a, *b, *c])), value, rest))
}

#[cfg(test)]
mod tests {
    use kmip::{client::RequestBuilder, tree::Value, ttlv, version::Version};

    use super::*;

    fn bytes(operations: &[Operation]) -> Vec<u8> {
        // A user name that is no multiple of eight bytes, so that padding matters.
        let start = RequestBuilder::new(Version::V1_1).credential("user", "password!");
        let request = operations
            .iter()
            .fold(start, |request, operation| request.raw_item(*operation, Some(b"odd"), Value::Structure(Vec::new())));
        ttlv::encode(&request.build()).to_vec()
    }

    #[test]
    fn status_probes_are_prompt_alone_and_in_batches() {
        for operation in PROMPT {
            assert!(is_prompt(&bytes(&[operation])), "{operation:?}");
        }
        assert!(is_prompt(&bytes(&PROMPT)));
    }

    #[test]
    fn what_opens_or_seals_material_is_not_and_neither_is_a_batch_with_it() {
        for &operation in Operation::ALL {
            assert_eq!(is_prompt(&bytes(&[operation])), PROMPT.contains(&operation), "{operation:?}");
            assert_eq!(
                is_prompt(&bytes(&[Operation::Query, operation])),
                PROMPT.contains(&operation),
                "{operation:?} second"
            );
        }
    }

    #[test]
    fn a_message_that_is_cut_short_or_empty_is_not_prompt() {
        let whole = bytes(&[Operation::Query]);
        for length in 0..whole.len() {
            assert!(!is_prompt(&whole[..length]), "{length} bytes");
        }
        assert!(!is_prompt(&bytes(&[])));
    }
}
