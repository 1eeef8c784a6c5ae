//! How the shim comes to life: the one function that it exports, which loads the module below at its first call.

#![expect(unsafe_code, reason = "the entry point of a C library, and the loader of another one")]

use std::{
    ffi::{CStr, OsStr, c_void},
    fs, mem,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr,
};

use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CKR_ARGUMENTS_BAD, CKR_GENERAL_ERROR, CKR_OK, Pkcs11};
use parking_lot::Mutex;

use crate::{listener, settings::Settings, shim::Shim, watched::WatchedFile};

static LOADING: Mutex<()> = Mutex::new(());

/// What an application asks a PKCS#11 module for. Loads the module below at the first call.
///
/// # Safety
/// `list` must be null or point to where a pointer can be written, as PKCS#11 demands.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let shim = std::panic::catch_unwind(|| {
        let _one_at_a_time = LOADING.lock();
        Shim::installed().map_or_else(load, Ok)
    });
    match shim {
        Ok(Ok(shim)) => {
            // SAFETY: not null, and the caller answers for the rest.
            unsafe { *list = ptr::from_ref(shim.list()).cast_mut() }
            CKR_OK
        }
        Ok(Err(error)) => {
            eprintln!("pkcs11-shim: {error}");
            CKR_GENERAL_ERROR
        }
        Err(_) => CKR_GENERAL_ERROR,
    }
}

fn load() -> Result<&'static Shim, String> {
    let library = own_path().ok_or("its own file is not found")?;
    let settings = Settings::of(&library)?;
    let module = settings.module.ok_or("no module to forward to: set PKCS11_SHIM_MODULE, or `module = …` beside it")?;
    if fs::canonicalize(&module).is_ok_and(|module| fs::canonicalize(&library).is_ok_and(|library| library == module)) {
        return Err("it is told to forward to itself".to_owned());
    }
    let real = real_list(&module)?;
    let file = settings.control.as_deref().filter(|path| path.is_file()).map(WatchedFile::new);
    let socket = settings.control.filter(|path| !path.is_file());
    // Threads of this library live as long as the process, and so must its code.
    stay(&library);
    let shim = Shim::new(real, settings.init_args, file).install();
    for command in settings.commands {
        shim.command(&command)?;
    }
    if let Some(path) = socket {
        listener::listen(shim, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(shim)
}

fn real_list(module: &Path) -> Result<CK_FUNCTION_LIST, String> {
    let failed = |error: String| format!("{}: {error}", module.display());
    // SAFETY: loading a library runs its initialisers; which one is the user's choice.
    let library = unsafe { Pkcs11::new(module) }.map_err(|error| failed(error.to_string()))?;
    let mut list = ptr::null_mut();
    // Unlike the method of the same name, this does not panic where the function is missing.
    let function = library.C_GetFunctionList.as_ref().map_err(|error| failed(error.to_string()))?;
    // SAFETY: the pointer is to a variable that outlives the call.
    let answer = unsafe { function(&raw mut list) };
    if answer != CKR_OK || list.is_null() {
        return Err(failed(format!("C_GetFunctionList answers {answer:#x}")));
    }
    // SAFETY: the module has just returned it, and it is never unloaded.
    let real = unsafe { *list };
    mem::forget(library);
    Ok(real)
}

fn own_path() -> Option<PathBuf> {
    // SAFETY: dladdr fills the structure, whose fields are pointers and may be zero.
    let mut about: libc::Dl_info = unsafe { mem::zeroed() };
    // SAFETY: the address is of a function of this library, and the structure outlives the call.
    let found = unsafe { libc::dladdr(C_GetFunctionList as *const c_void, &raw mut about) };
    if found == 0 || about.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr succeeded, so it is a string that lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(about.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

fn stay(library: &Path) {
    let Ok(name) = std::ffi::CString::new(library.as_os_str().as_bytes()) else { return };
    // SAFETY: it is loaded already, so that nothing but its flags changes.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
}
