//! Instances of one module that do not disturb each other.

use cryptoki::error::{Error, RvError};
use pkcs11_fixtures::{PrivateModule, SoftHsm};

use crate::{initialise, load, log_in};

#[test]
fn finalising_one_copy_leaves_the_others_working() {
    let (Some(one), Some(other)) = (PrivateModule::new("one"), PrivateModule::new("other")) else { return };
    let (first, second) = (load(&one), load(&other));
    let (gone, stays) = (log_in(&first, one.token()), log_in(&second, other.token()));
    first.clone().finalize().expect("it ends");
    let error = gone.generate_random_vec(8).expect_err("no session is left");
    assert!(matches!(error, Error::Pkcs11(RvError::CryptokiNotInitialized, _)), "{error}");
    assert_eq!(stays.generate_random_vec(8).expect("the other one works").len(), 8);
    let softhsm = SoftHsm::shared().expect("it was there");
    softhsm.token("shared");
    initialise(&first);
    assert_eq!(log_in(&first, one.token()).generate_random_vec(8).expect("it works again").len(), 8);
    let error = gone.generate_random_vec(8).expect_err("sessions of before are gone");
    assert!(matches!(error, Error::Pkcs11(RvError::SessionHandleInvalid, _)), "{error}");
}

#[test]
fn two_copies_see_one_token() {
    let Some(one) = PrivateModule::new("shared") else { return };
    let softhsm = SoftHsm::shared().expect("it was there");
    let other = PrivateModule::of_token(softhsm, one.token());
    assert_ne!(one.module_path(), other.module_path());
    let (first, second) = (load(&one), load(&other));
    let sessions = (log_in(&first, one.token()), log_in(&second, other.token()));
    assert_eq!(sessions.0.generate_random_vec(4).expect("it works").len(), 4);
    assert_eq!(sessions.1.generate_random_vec(4).expect("it works").len(), 4);
}
