/** Four-bit floats e2m1 of OCP Microscaling Formats 1.0: two bits of exponent, one of mantissa, the sign in bit 3. */

/** Values of the 16 codes. */
export const E2M1 = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6);
