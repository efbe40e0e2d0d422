// Elementary functions to f32 rounding. Drivers may be off by far more (tanh by 1e-5, exp by a few units).

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r, and n into the exponent. 0 below -87.3, infinity above
// 88.7.
fn exact_exp(x: f32) -> f32 {
  let n = round(x * 1.44269504);
  let r = fma(n, -1.42860677e-6, fma(n, -0.693145752, x));
  var p = 1.98412698e-4;
  p = fma(p, r, 1.38888889e-3);
  p = fma(p, r, 8.33333333e-3);
  p = fma(p, r, 4.16666667e-2);
  p = fma(p, r, 1.66666667e-1);
  p = fma(p, r, 0.5);
  p = fma(p, r, 1.0);
  p = fma(p, r, 1.0);
  let scaled = bitcast<f32>(bitcast<i32>(p) + (i32(clamp(n, -126.0, 127.0)) << 23u));
  if (x < -87.3) { return 0.0; }
  if (x > 88.7) { return bitcast<f32>(0x7f800000u + u32(x < 0.0)); }
  if ((bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u) { return x; }
  return scaled;
}

// tanh x: a series near 0, where the quotient would cancel.
fn exact_tanh(x: f32) -> f32 {
  let y = x * x;
  if (abs(x) < 0.25) {
    return x * (1.0 + y * (-1.0 / 3.0 + y * (2.0 / 15.0 + y * (-17.0 / 315.0 + y * (62.0 / 2835.0 - y * (1382.0 / 155925.0))))));
  }
  let e = exact_exp(-2.0 * abs(x));
  return sign(x) * (1.0 - e) / (1.0 + e);
}

// 1 / (1 + e^-x), without overflow on either side.
fn exact_sigmoid(x: f32) -> f32 {
  let e = exact_exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// log(1 + y) for y in [0, 1]: by log y' of the rounded sum, corrected for what the rounding lost.
fn exact_log1p(y: f32) -> f32 {
  let u = 1.0 + y;
  if (u == 1.0) { return y; }
  return log(u) * y / (u - 1.0);
}

// Phi x, the normal distribution's share below x, to a few parts in 1e7 of itself: by the series of erf near 0,
// elsewhere by erfc of |x| / sqrt 2 (Numerical Recipes' Chebyshev fit), which does not cancel on the left.
fn exact_normal(x: f32) -> f32 {
  let a = abs(x) * 0.7071067812;
  if (a < 0.5) {
    let y = a * a;
    let erf = 1.12837917 * a * (1.0 + y * (-1.0 / 3.0 + y * (0.1 + y * (-1.0 / 42.0 + y * (1.0 / 216.0 - y * (1.0 / 1320.0))))));
    return 0.5 + 0.5 * sign(x) * erf;
  }
  let t = 1.0 / (1.0 + 0.5 * a);
  var p = 0.17087277;
  p = fma(p, t, -0.82215223);
  p = fma(p, t, 1.48851587);
  p = fma(p, t, -1.13520398);
  p = fma(p, t, 0.27886807);
  p = fma(p, t, -0.18628806);
  p = fma(p, t, 0.09678418);
  p = fma(p, t, 0.37409196);
  p = fma(p, t, 1.00002368);
  p = fma(p, t, -1.26551223);
  let tail = 0.5 * t * exact_exp(-a * a) * exact_exp(p);
  return select(tail, 1.0 - tail, x > 0.0);
}

// v less the nearest multiple of 2 pi, halved: from -pi / 2 to pi / 2, for |v| below some thousands.
fn half_turn(v: f32) -> f32 {
  let turns = round(v * 0.15915494309);
  // 2 pi in two parts, the first of few bits, so that its multiples are exact
  return 0.5 * ((v - turns * 6.28125) - turns * 0.00193530717958648);
}

// sin and cos of an angle between -pi / 2 and pi / 2, by their series: to a few parts in 1e7.
fn short_sin(h: f32) -> f32 {
  let y = h * h;
  return h * (1.0 + y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0 - y * (1.0 / 39916800.0))))));
}
fn short_cos(h: f32) -> f32 {
  let y = h * h;
  return 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 - y * (1.0 / 3628800.0 - y * (1.0 / 479001600.0))))));
}

// By the half angle, which lies where the series are short. WGSL's own are only known to 5e-4.
fn exact_sin(v: f32) -> f32 {
  let h = half_turn(v);
  return 2.0 * short_sin(h) * short_cos(h);
}
fn exact_cos(v: f32) -> f32 {
  let s = short_sin(half_turn(v));
  return 1.0 - 2.0 * s * s;
}
