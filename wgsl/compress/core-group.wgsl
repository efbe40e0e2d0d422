// Chooses anew which two of four neighbouring values of the core S of a product A S B are not 0, and what they are, in
// one group of four for each pair of blocks of A and B: the best of the six pairs, exactly.
//
//   a          (rows / side_a, side_a, side_a)        f32  blocks on the diagonal of A
//   b          (columns / side_b, side_b, side_b)     f32  blocks on the diagonal of B
//   product    (rows, columns)                        f32  A S B
//   goal       (rows, columns)                        f32
//   importance (columns)                              f32
//   slopes     (rows, columns)                        f32  of the loss by S; groups are drawn by the sum of magnitudes
//   core       (rows, columns)                        f32  in and out: S
//   marks      (rows, columns)                        u32  in and out: 1 where S is 0
//
// The loss is the sum of importance (A S B - goal)^2. A value of S at row i and column k adds column i of A's block
// times row k of B's, so with the group set to 0 the loss of a choice P with values s is, besides a constant,
// 2 s^T f_P + |a|^2 s^T G_P s. Blocks of the product do not depend on each other, and each is one workgroup: rows of
// one block of A, and `width` columns, those of B's block or the four of a group where blocks are smaller.
//
// Source: ARMOR, 2025, its core step. Checked against all pairs in f64 in test/compress/armor.test.ts.

import package::lib::grid::span_of;
import package::lib::random::random_bits;

struct Params { rows: u32, columns: u32, side_a: u32, side_b: u32, width: u32, step: u32, key: u32, ridge: f32 }

const LANES = 64u;
const TERMS = 14u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> product: array<f32>;
@group(0) @binding(4) var<storage, read> goal: array<f32>;
@group(0) @binding(5) var<storage, read> importance: array<f32>;
@group(0) @binding(6) var<storage, read> slopes: array<f32>;
@group(0) @binding(7) var<storage, read_write> core: array<f32>;
@group(0) @binding(8) var<storage, read_write> marks: array<u32>;

var<workgroup> masses: array<f32, LANES>;
var<workgroup> terms: array<f32, 896>;
var<workgroup> chosen: u32;

fn slope_mass(at: u32) -> f32 {
  return abs(slopes[at]) + abs(slopes[at + 1u]) + abs(slopes[at + 2u]) + abs(slopes[at + 3u]);
}

// B at row k and column c; 0 outside its blocks.
fn b_at(k: u32, c: u32) -> f32 {
  let side = params.side_b;
  if (k / side != c / side) { return 0.0; }
  return b[k * side + c % side];
}

@compute @workgroup_size(64)
fn core_group(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let pair = span_of(group, groups);
  let across = params.columns / params.width;
  if (pair >= params.rows / params.side_a * across) { return; }
  let top = pair / across * params.side_a;
  let left = pair % across * params.width;
  let per_row = params.width / 4u;
  let count = params.side_a * per_row;

  // A group is drawn: each lane knows the mass of a run of them.
  let run = (count + LANES - 1u) / LANES;
  var mass = 0.0;
  for (var g = lane * run; g < min(lane * run + run, count); g++) {
    mass += slope_mass((top + g / per_row) * params.columns + left + 4u * (g % per_row));
  }
  masses[lane] = mass;
  workgroupBarrier();
  if (lane == 0u) {
    var total = 0.0;
    for (var l = 0u; l < LANES; l++) { total += masses[l]; }
    let drawn = f32(random_bits(vec4u(pair), vec2u(params.step, params.key)).x >> 8u) / 16777216.0;
    var rest = drawn * total;
    var l = 0u;
    while (l < LANES - 1u && rest >= masses[l]) {
      rest -= masses[l];
      l++;
    }
    var g = min(l * run, count - 1u);
    let last = min(l * run + run, count) - 1u;
    while (g < last) {
      let own = slope_mass((top + g / per_row) * params.columns + left + 4u * (g % per_row));
      if (rest < own) { break; }
      rest -= own;
      g++;
    }
    // No slope anywhere: all alike.
    chosen = select(g, min(u32(drawn * f32(count)), count - 1u), total == 0.0);
  }
  workgroupBarrier();
  let row = chosen / per_row;
  let first = left + 4u * (chosen % per_row);
  let place = (top + row) * params.columns + first;
  let block = top * params.side_a;

  var length = 0.0;
  for (var r = 0u; r < params.side_a; r++) {
    let x = a[block + r * params.side_a + row];
    length += x * x;
  }
  var found: array<f32, TERMS>;
  for (var c = left + lane; c < left + params.width; c += LANES) {
    var rows_of_b: array<f32, 4>;
    var own = 0.0;
    for (var k = 0u; k < 4u; k++) {
      rows_of_b[k] = b_at(first + k, c);
      own += core[place + k] * rows_of_b[k];
    }
    var along = -length * own;
    for (var r = 0u; r < params.side_a; r++) {
      let at = (top + r) * params.columns + c;
      along += a[block + r * params.side_a + row] * (product[at] - goal[at]);
    }
    let weight = importance[c];
    var term = 4u;
    for (var k = 0u; k < 4u; k++) {
      found[k] += weight * rows_of_b[k] * along;
      for (var other = 0u; other <= k; other++) {
        found[term] += weight * rows_of_b[k] * rows_of_b[other];
        term++;
      }
    }
  }
  for (var t = 0u; t < TERMS; t++) { terms[t * LANES + lane] = found[t]; }
  workgroupBarrier();
  if (lane > 0u || length == 0.0) { return; }
  for (var t = 0u; t < TERMS; t++) {
    var sum = 0.0;
    for (var l = 0u; l < LANES; l++) { sum += terms[t * LANES + l]; }
    found[t] = sum;
  }
  var most = -1.0;
  var best = vec2u(0u, 1u);
  var values = vec2f(0.0);
  for (var j = 1u; j < 4u; j++) {
    for (var i = 0u; i < j; i++) {
      let line = 4u + j * (j + 1u) / 2u;
      let gii = found[4u + i * (i + 1u) / 2u + i] + params.ridge;
      let gjj = found[line + j] + params.ridge;
      let gij = found[line + i];
      let f = vec2f(found[i], found[j]);
      let solved = vec2f(gjj * f.x - gij * f.y, gii * f.y - gij * f.x) / (gii * gjj - gij * gij);
      let gain = dot(f, solved);
      if (gain > most) {
        most = gain;
        best = vec2u(i, j);
        values = -solved / length;
      }
    }
  }
  for (var k = 0u; k < 4u; k++) {
    let stays = k == best.x || k == best.y;
    marks[place + k] = select(1u, 0u, stays);
    core[place + k] = select(0.0, select(values.y, values.x, k == best.x), stays);
  }
}
