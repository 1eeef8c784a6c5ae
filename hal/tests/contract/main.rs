//! What a HAL must do, and must refuse: one suite, run on the software backend, on SoftHSM2 and on kryoptic with each wrap
//! scheme, directly and through the fault-injecting shim; and beside it what only one backend can be asked.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod backends;
mod pkcs11;
mod recovery;
mod shared_file;
mod software;
mod suite;
mod tokens;

/// Every test of the suite as one test for each backend.
macro_rules! contract {
    ($($test:ident)*) => {
        mod on_software {
            $(#[test] fn $test() { crate::suite::$test(&crate::backends::software().hal); })*
        }
        contract!(on_softhsm_aes_gcm: softhsm(AesGcm) $($test)*);
        contract!(on_softhsm_aes_kw: softhsm(AesKw) $($test)*);
        contract!(on_a_set_of_one_token: set_of_one(AesGcm) $($test)*);
        contract!(on_softhsm_through_the_shim: softhsm_through_the_shim(AesGcm) $($test)*);
        contract!(on_kryoptic_aes_gcm: kryoptic(AesGcm) $($test)*);
        contract!(on_kryoptic_aes_kw: kryoptic(AesKw) $($test)*);
        contract!(on_kryoptic_through_the_shim: kryoptic_through_the_shim(AesKw) $($test)*);
    };
    ($name:ident: $backend:ident($scheme:ident) $($test:ident)*) => {
        mod $name {
            $(#[test] fn $test() {
                if let Some(token) = crate::backends::$backend(hal::WrapScheme::$scheme) {
                    crate::suite::$test(&token.hal);
                }
            })*
        }
    };
}

contract! {
    a_wrapped_kek_opens_to_the_same_kek
    a_blob_survives_storage
    every_flipped_bit_of_a_blob_is_refused
    a_truncated_or_padded_blob_is_refused
    a_blob_under_another_root_key_is_refused
    a_blob_of_another_version_is_refused
    a_version_is_made_once_however_often_it_is_asked_for
    the_same_material_is_imported_twice_and_other_material_is_not
    a_root_key_with_another_check_value_than_expected_is_not_used
    blobs_are_rewrapped_in_their_order_and_a_bad_one_stops_none
    a_destroyed_version_leaves_the_other_and_its_blobs
    root_keys_are_listed_by_label_id_and_version
    a_self_test_reports_each_check
    an_unknown_root_key_is_named
    a_root_key_is_listed_and_described_until_it_is_destroyed
    a_destroyed_root_key_takes_its_blobs_with_it
    consent_for_another_root_key_destroys_nothing
    a_label_is_given_once
    an_imported_root_key_has_the_check_value_of_its_bytes
    a_root_key_of_the_wrong_length_is_refused
    signatures_verify_under_the_public_key
    every_kind_of_signing_key_signs_by_each_scheme_that_fits_and_no_other
    a_long_and_an_empty_message_are_signed
    a_signing_key_is_found_by_its_label
    an_unknown_signing_key_is_named
    random_bytes_differ
    sixteen_threads_work_at_the_same_time
    debug_output_holds_no_secret
    a_working_backend_is_ready_and_says_what_it_is
}
