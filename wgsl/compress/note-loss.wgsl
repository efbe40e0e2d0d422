// Adds up the parts of a loss, notes it, and says whether it is the best so far.
//
//   sums   (count)  f32
//   losses          f32  out: value `place`
//   best   (2)      f32  in and out: the best loss, and 1 where this one is it, else 0
//
// One workgroup; lanes interleave, then a tree of fixed order. Checked in test/compress/armor.test.ts.

struct Params { count: u32, place: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> best: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn note_loss(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += 64u) { sum += sums[i]; }
  partial[lane] = sum;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane > 0u) { return; }
  let loss = partial[0];
  losses[params.place] = loss;
  best[1] = select(0.0, 1.0, loss < best[0]);
  best[0] = min(loss, best[0]);
}
