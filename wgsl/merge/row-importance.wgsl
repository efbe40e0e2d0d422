// How much each entry of a model matters: its distance to the base times the divergence of the softmaxes of its row.
//   importance = |x - b| * sum_c p_c log(p_c / q_c),  p = softmax(row of x) + 1e-8,  q = softmax(row of b) + 1e-8
//
//   stack      (2, pitch)  operands  base, model; a chunk of whole rows
//   importance (n)         f32       out
//
// One workgroup per row. As written the sum cancels: its terms are of the order of d = x - b, itself of d^2. p and q
// have the same sum, so it equals sum_c q_c phi(p_c / q_c) with phi(r) = r log r - r + 1, whose terms are of the order
// of d^2 and never negative. Of p_c / q_c what matters is the distance to 1, expm1(d_c - D) with D the difference of
// the rows' log-sum-exps, which for small d is log1p(sum_c q_c expm1(d_c)). Series take the place of expm1, log1p and
// phi near 0. Source: mergekit's arcee_fusion. Checked against an f64 loop in
// test/merge/methods/pairs/arcee-fusion.test.ts.

import package::lib::grid::{LANES, span_of};
import package::lib::operand::{Operand, load};
import package::lib::rounding::rounded;

struct Params { pitch: u32, columns: u32, rows: u32 }

const FLOOR = 1e-8;
const NEAR = 0.125;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stack: array<Operand>;
@group(0) @binding(2) var<storage, read_write> importance: array<f32>;

var<workgroup> lane_values: array<vec4f, LANES>;

fn base_at(i: u32) -> f32 { return load(stack[i / 4u])[i % 4u]; }
fn model_at(i: u32) -> f32 { return load(stack[params.pitch + i / 4u])[i % 4u]; }

// exp(t) - 1 for |t| <= NEAR, to 1e-9 of its value.
fn expm1_near(t: f32) -> f32 {
  return t * (1.0 + t / 2.0 * (1.0 + t / 3.0 * (1.0 + t / 4.0 * (1.0 + t / 5.0 * (1.0 + t / 6.0)))));
}

// log(1 + y) for y of expm1 of such t: twice the inverse hyperbolic tangent of y / (2 + y).
fn log1p_near(y: f32) -> f32 {
  let s = y / (2.0 + y);
  let z = s * s;
  return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0))));
}

// (1 + u) log(1 + u) - u for |u| <= NEAR: the sum of (-u)^k / (k (k - 1)) from k = 2.
fn phi_near(u: f32) -> f32 {
  let tail = 1.0 / 42.0 - u * (1.0 / 56.0 - u * (1.0 / 72.0 - u / 90.0));
  return u * u * (1.0 / 2.0 - u * (1.0 / 6.0 - u * (1.0 / 12.0 - u * (1.0 / 20.0 - u * (1.0 / 30.0 - u * tail)))));
}

fn total(lane: u32, value: vec4f) -> vec4f {
  lane_values[lane] = value;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { lane_values[lane] += lane_values[lane + half]; }
  }
  workgroupBarrier();
  let sum = lane_values[0];
  workgroupBarrier();
  return sum;
}

fn largest(lane: u32, value: vec4f) -> vec4f {
  lane_values[lane] = value;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { lane_values[lane] = max(lane_values[lane], lane_values[lane + half]); }
  }
  workgroupBarrier();
  let most = lane_values[0];
  workgroupBarrier();
  return most;
}

@compute @workgroup_size(64)
fn row_importance(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups);
  if (row >= params.rows) { return; }
  let first = row * params.columns;
  let last = first + params.columns;

  var most = vec4f(-0x1.fffffep+127, -0x1.fffffep+127, 0.0, 0.0);
  for (var i = first + lane; i < last; i += LANES) {
    let x = model_at(i);
    let b = base_at(i);
    most = max(most, vec4f(x, b, abs(x - b), 0.0));
  }
  most = largest(lane, most);
  let near = most.z <= NEAR;

  var sums = vec4f(0.0);
  for (var i = first + lane; i < last; i += LANES) {
    let x = model_at(i);
    let b = base_at(i);
    let q = exp(b - most.y);
    sums += vec4f(exp(x - most.x), q, select(0.0, q * expm1_near(x - b), near), 0.0);
  }
  sums = total(lane, sums);
  let shift = select((most.x - most.y) + (log(sums.x) - log(sums.y)), log1p_near(sums.z / sums.y), near);

  var divergence = 0.0;
  for (var i = first + lane; i < last; i += LANES) {
    let x = model_at(i);
    let b = base_at(i);
    let p = exp(x - most.x) / sums.x;
    let q = exp(b - most.y) / sums.y;
    let t = (x - b) - shift;
    let apart = select(p - q, q * expm1_near(t), abs(t) <= NEAR);
    let u = apart / (q + FLOOR);
    var phi = 0.0;
    if (abs(u) <= NEAR) {
      phi = phi_near(u);
    } else {
      let ratio = (p + FLOOR) / (q + FLOOR);
      phi = max(ratio * log(ratio) - u, 0.0);
    }
    divergence += (q + FLOOR) * phi;
  }
  // The softmax of a single value is 1 whatever the value: not even a rounding may be left.
  divergence = select(total(lane, vec4f(divergence, 0.0, 0.0, 0.0)).x, 0.0, params.columns == 1u);

  for (var i = first + lane; i < last; i += LANES) {
    importance[i] = rounded(vec4f(abs(model_at(i) - base_at(i)) * divergence)).x;
  }
}
