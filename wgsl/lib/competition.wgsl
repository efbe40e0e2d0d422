// Scores of parameter competition (PCB-Merging, arXiv:2410.02396): one value of one task vector against the others.

struct Row {
  low: f32,      // magnitudes are clipped to [low, high]
  high: f32,
  inverse: f32,  // 1 / (high - low), or 0
  lambda: f32,
  cut: f32,      // scores at or below it count 0
  spread: f32,   // 1 / (largest score - cut), or 0
}

fn clipped(d: f32, row: Row) -> f32 {
  return clamp(abs(d), row.low, row.high);
}

// Magnitude within its row, 0 to 1, with the sign of the value.
fn signed_share(d: f32, row: Row) -> f32 {
  return sign(d) * clamp((clipped(d, row) - row.low) * row.inverse, 0.0, 1.0);
}

// exp(k n^2), over its largest value exp(k), which the normalisation of scores removes and f32 could not hold for large
// k.
fn intra(share: f32, k: u32) -> f32 {
  return exp(f32(k) * (share * share - 1.0));
}

// tanh; the built-in may be off by 1e-5, which is all there is of small arguments.
fn balanced(x: f32) -> f32 {
  let y = x * x;
  if (abs(x) < 0.2) { return x * (1.0 - y * (1.0 / 3.0 - y * (2.0 / 15.0 - y * (17.0 / 315.0)))); }
  let e = exp(-2.0 * abs(x));
  return sign(x) * (1.0 - e) / (1.0 + e);
}
