// Reductions over the 64 lanes of a workgroup that works on one row: a tree of fixed order, whose result every lane gets.

var<workgroup> row_partial: array<f32, 64>;

fn row_sum(x: f32, lane: u32) -> f32 {
  workgroupBarrier(); // the result of the reduction before may still be read
  row_partial[lane] = x;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { row_partial[lane] += row_partial[lane + half]; }
  }
  workgroupBarrier();
  return row_partial[0];
}

fn row_max(x: f32, lane: u32) -> f32 {
  workgroupBarrier();
  row_partial[lane] = x;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { row_partial[lane] = max(row_partial[lane], row_partial[lane + half]); }
  }
  workgroupBarrier();
  return row_partial[0];
}
