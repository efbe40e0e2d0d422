// How far the nearest entries of a memory are from having a row's label, and the slope of that by each cosine.
//
//   cosines (N, M)  f32  of rows and entries
//   targets (N)     i32  labels of the rows; negative: the row gives 0
//   own     (N)     i32  the number of each row; its own copies in the memory do not count
//   tags    (M, 2)  f32  label and number of each entry; a negative label: none is there
//   losses  (N)     f32  out
//   slopes  (N, M)  f32  out: d loss / d cosine
//
// The nearest are the K of the largest cosines, and all that equal the last of them. With e_j = exp(cosine_j / T):
//
//   (default)  log sum_{nearest} e_j - log sum_{nearest, of the label} e_j; where none has the label, the nearest that
//              has it joins them
//   voted      -log min(1, FLOOR + sum_{nearest, of the label} e_j / sum_{nearest} e_j)
//
// A row without entries, or without any that count, gives 0. The K-th largest is found bit by bit, over keys that are
// ordered as the cosines are. One workgroup a row, or with `serial` one lane. Checked against f64 in
// test/tensor/ops/neighbours.test.ts.

import package::lib::row::{row_sum, row_max, row_of, row_first, row_step, row_leads};
import package::lib::exact::exact_exp;
import package::lib::radix::ordered_key;

struct Params {
  n: u32,
  m: u32,
  k: u32,
  inverse: f32, // 1 / T
  floor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> own: array<i32>;
@group(0) @binding(4) var<storage, read> tags: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> slopes: array<f32>;

const LEAST = -3.4e38;

// Whether an entry counts for a row of this number.
fn counts(j: u32, number: i32) -> bool {
  return tags[2u * j] >= 0.0 && i32(tags[2u * j + 1u]) != number;
}

@compute @workgroup_size(64)
fn vote(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = row_of(lane, group, groups);
  // Lanes without a row go along, for barriers are met by all; they see a row of no entries.
  let used = row < params.n;
  let at = select(0u, row, used);
  let start = at * params.m;
  let label = targets[at];
  let number = own[at];
  let width = select(0u, params.m, used && label >= 0);

  var found = 0.0;
  for (var j = row_first(lane); j < width; j += row_step) { found += f32(counts(j, number)); }
  found = row_sum(found, lane);
  let wanted = min(f32(params.k), found);
  var cut = 0u; // the key of the last of the nearest
  for (var bit = 32u; bit > 0u; bit--) {
    let trial = cut | (1u << (bit - 1u));
    var above = 0.0;
    for (var j = row_first(lane); j < width; j += row_step) {
      above += f32(counts(j, number) && ordered_key(cosines[start + j]) >= trial);
    }
    above = row_sum(above, lane);
    if (above >= wanted) { cut = trial; }
  }

  var most = LEAST; // of all nearest
  var right = LEAST; // of those with the label
  var outside = LEAST; // of all entries with the label
  for (var j = row_first(lane); j < width; j += row_step) {
    if (!counts(j, number)) { continue; }
    let x = cosines[start + j];
    let same = i32(tags[2u * j]) == label;
    let near = ordered_key(x) >= cut;
    if (near) { most = max(most, x); }
    if (near && same) { right = max(right, x); }
    if (same) { outside = max(outside, x); }
  }
  most = row_max(most, lane);
  right = row_max(right, lane);
  outside = row_max(outside, lane);
  // The nearest of the label, where none of the nearest has it; nothing is beyond LEAST.
  var joins = 3.4e38;
  @if(!voted) if (right == LEAST && outside > LEAST) {
    joins = outside;
    right = outside;
  }
  var all = 0.0;
  var some = 0.0; // less the label's largest
  for (var j = row_first(lane); j < width; j += row_step) {
    if (!counts(j, number)) { continue; }
    let x = cosines[start + j];
    let same = i32(tags[2u * j]) == label;
    if (ordered_key(x) >= cut || (same && x == joins)) {
      all += exact_exp((x - most) * params.inverse);
      if (same) { some += exact_exp((x - right) * params.inverse); }
    }
  }
  all = row_sum(all, lane);
  some = row_sum(some, lane);
  let heard = right > LEAST; // whether any that counts has the label
  let share = select(0.0, exact_exp((right - most) * params.inverse) * some / all, heard);
  let score = share + params.floor;
  @if(voted) let loss = select(0.0, -log(min(1.0, score)), all > 0.0);
  @if(!voted) let loss = select(0.0, log(all) - log(some) + (most - right) * params.inverse, heard);
  // How much of the difference of both shares goes into the slope.
  @if(voted) let pull = select(0.0, share / score, heard && score < 1.0);
  @if(!voted) let pull = select(0.0, 1.0, heard);
  for (var j = row_first(lane); j < params.m && used; j += row_step) {
    var slope = 0.0;
    if (j < width && pull > 0.0 && counts(j, number)) {
      let x = cosines[start + j];
      let same = i32(tags[2u * j]) == label;
      if (ordered_key(x) >= cut || (same && x == joins)) {
        slope = exact_exp((x - most) * params.inverse) / all;
        if (same) { slope -= exact_exp((x - right) * params.inverse) / some; }
      }
    }
    slopes[start + j] = slope * pull * params.inverse;
  }
  if (row_leads(lane) && used) { losses[row] = loss; }
}
