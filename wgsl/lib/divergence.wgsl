// What divergences between two rows of logits share: log-probabilities with the largest logit and the log of the sum
// apart, so that nothing is lost where logits are large, and the log of mixtures.
//
// Of each row four values are saved: largest and log sum of the student, largest and log sum of the teacher.

import package::lib::exact::{exact_exp, exact_log1p};

// log(a e^x + (1 - a) e^y)
fn log_mix(x: f32, y: f32, a: f32) -> f32 {
  if (a >= 1.0) { return x; }
  if (a <= 0.0) { return y; }
  let p = x + log(a);
  let q = y + log(1.0 - a);
  return max(p, q) + exact_log1p(exact_exp(-abs(p - q)));
}

// p (x - y), which is 0 where p is, whatever the logs are.
fn weighted(p: f32, x: f32, y: f32) -> f32 {
  if (p == 0.0) { return 0.0; }
  return p * (x - y);
}
