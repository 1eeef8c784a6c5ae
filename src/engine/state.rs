//! The life of a cryptographic object: one table of states and what moves them (KMIP 1.4 §3.22, NIST SP 800-57 part 1).

use kmip::enums::State;

/// What moves an object from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Activate, or the Activation Date is reached.
    Activate,
    /// Revoke for a reason other than compromise, or the Deactivation Date is reached.
    Deactivate,
    /// Revoke because of a compromise.
    Compromise,
    /// Destroy.
    Destroy,
}

/// The state that `event` leads to; `None` where the specification permits no such transition.
pub(super) fn next(state: State, event: Event) -> Option<State> {
    match (state, event) {
        (State::PreActive, Event::Activate) => Some(State::Active),
        (State::PreActive | State::Active | State::Deactivated, Event::Compromise) => Some(State::Compromised),
        (State::Active, Event::Deactivate) => Some(State::Deactivated),
        (State::PreActive | State::Deactivated, Event::Destroy) => Some(State::Destroyed),
        (State::Compromised, Event::Destroy) | (State::Destroyed, Event::Compromise) => {
            Some(State::DestroyedCompromised)
        }
        _ => None,
    }
}

/// Whether the object's material is gone.
pub(super) fn is_destroyed(state: State) -> bool {
    matches!(state, State::Destroyed | State::DestroyedCompromised)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 4] = [Event::Activate, Event::Deactivate, Event::Compromise, Event::Destroy];

    #[test]
    fn only_the_ten_transitions_of_the_specification_exist() {
        let count = State::ALL.iter().flat_map(|&state| EVENTS.map(|event| next(state, event))).flatten().count();
        // Ten, less creation itself.
        assert_eq!(count, 9);
    }

    #[test]
    fn an_active_object_is_not_destroyed() {
        assert_eq!(next(State::Active, Event::Destroy), None);
        assert_eq!(next(State::Deactivated, Event::Destroy), Some(State::Destroyed));
    }

    #[test]
    fn nothing_leaves_destroyed_but_the_knowledge_of_a_compromise() {
        for event in EVENTS {
            let expected = (event == Event::Compromise).then_some(State::DestroyedCompromised);
            assert_eq!(next(State::Destroyed, event), expected);
            assert_eq!(next(State::DestroyedCompromised, event), None);
        }
    }
}
