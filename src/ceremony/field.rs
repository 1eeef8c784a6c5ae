//! Arithmetic in GF(2^8) with the polynomial of AES, x^8 + x^4 + x^3 + x + 1 (FIPS 197 section 4), and polynomials over it.
//!
//! Every operation takes the same steps whatever its operands are: no table is looked up by a secret, no branch depends on
//! one.

/// The product of two elements.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        // All ones where that bit of b is set, all zeros where it is not.
        product ^= a & mask(b >> bit);
        a = (a << 1) ^ (0x1b & mask(a >> 7));
    }
    product
}

/// 0xff where the lowest bit is set, 0 where it is not.
fn mask(bit: u8) -> u8 {
    // The barrier keeps the compiler from finding the branch that this avoids.
    std::hint::black_box(bit & 1).wrapping_neg()
}

/// The inverse of an element: its 254th power. That of 0, which has none, is 0.
fn invert(a: u8) -> u8 {
    let mut power = a;
    // 254 is 11111110 in binary: six times square and multiply, then square.
    for _ in 0..6 {
        power = multiply(multiply(power, power), a);
    }
    multiply(power, power)
}

/// The value at `x` of the polynomial with these coefficients, the constant first.
pub(super) fn evaluate(coefficients: impl DoubleEndedIterator<Item = u8>, x: u8) -> u8 {
    coefficients.rev().fold(0, |value, coefficient| multiply(value, x) ^ coefficient)
}

/// By what the values at the points `xs` are to be multiplied so that they add up to the value at `x` of the one polynomial of
/// lower degree than there are points (Lagrange). The points are no secret and differ from each other; the caller checks.
pub(super) fn weights(xs: &[u8], x: u8) -> Vec<u8> {
    let weight = |own: &u8| {
        let others = || xs.iter().filter(|other| *other != own);
        let above = others().fold(1, |product, other| multiply(product, x ^ other));
        let below = others().fold(1, |product, other| multiply(product, own ^ other));
        multiply(above, invert(below))
    };
    xs.iter().map(weight).collect()
}

/// The sum of `values`, each multiplied by its weight.
pub(super) fn weighted_sum(values: impl Iterator<Item = u8>, weights: &[u8]) -> u8 {
    values.zip(weights).fold(0, |sum, (value, weight)| sum ^ multiply(value, *weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_as_in_fips_197() {
        // Sections 4.2 and 4.2.1.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for (power, value) in [(2, 0xae), (4, 0x47), (8, 0x8e), (0x10, 0x07)] {
            assert_eq!(multiply(0x57, power), value);
        }
    }

    /// The product by the definition: as polynomials, then the remainder of the division by x^8 + x^4 + x^3 + x + 1.
    fn by_definition(a: u8, b: u8) -> u8 {
        let mut product = 0_u16;
        for bit in (0..8).filter(|bit| b >> bit & 1 == 1) {
            product ^= u16::from(a) << bit;
        }
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= 0x11b << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn every_product_is_the_one_of_the_definition() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), by_definition(a, b), "{a:02x} times {b:02x}");
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_its_inverse() {
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a:02x}");
        }
        assert_eq!(invert(0), 0);
    }

    #[test]
    fn interpolation_finds_the_polynomial_again_at_every_point() {
        let coefficients = [0x2a, 0x00, 0xff, 0x81];
        let xs = [1, 7, 16, 200];
        let values = xs.map(|x| evaluate(coefficients.into_iter(), x));
        for x in 0..=255 {
            let found = weighted_sum(values.into_iter(), &weights(&xs, x));
            assert_eq!(found, evaluate(coefficients.into_iter(), x));
        }
    }
}
