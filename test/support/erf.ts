/**
 * The error function in float64: its series near 0, the continued fraction of its complement elsewhere (Abramowitz &
 * Stegun 7.1).
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 2) {
    let fraction = 0;
    for (let k = 120; k >= 1; k--) fraction = k / 2 / (a + fraction);
    return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
  }
  let sum = 0;
  let term = a;
  for (let n = 0; n < 60; n++) {
    sum += term / (2 * n + 1);
    term *= (-a * a) / (n + 1);
  }
  return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
}
