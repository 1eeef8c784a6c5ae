//! PKCS#11 backend (in the making).
