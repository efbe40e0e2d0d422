// Rows sorted from the largest value to the smallest, equals in the order they came, with the place each came from.
//
//   x     (N, V)  f32
//   keys  (N, P)  f32  out: P >= V, a power of two; -3.4e38 beyond V
//   order (N, P)  u32  out: where keys[r] was; r itself beyond V
//
// One workgroup a row, by Batcher's bitonic network (Proc. AFIPS 1968) in the memory of the result: log2(P) (log2(P) +
// 1) / 2 passes of P / 2 exchanges, with a barrier after each. Checked against f64 in
// test/tensor/ops/sorted-gap.test.ts.

import package::lib::grid::span_of;

struct Params { n: u32, v: u32, p: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> order: array<u32>;

const WIDTH = 256u;

@compute @workgroup_size(256)
fn sort_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = span_of(group, groups);
  if (row >= params.n) { return; }
  let start = row * params.p;
  for (var i = lane; i < params.p; i += WIDTH) {
    var key = -3.4e38;
    if (i < params.v) { key = max(x[row * params.v + i], -3.4e38); }
    keys[start + i] = key;
    order[start + i] = i;
  }
  storageBarrier();
  for (var run = 2u; run <= params.p; run *= 2u) {
    for (var apart = run / 2u; apart > 0u; apart /= 2u) {
      for (var pair = lane; pair < params.p / 2u; pair += WIDTH) {
        let low = pair / apart * 2u * apart + pair % apart;
        let a = start + low;
        let b = a + apart;
        let behind = keys[a] < keys[b] || (keys[a] == keys[b] && order[a] > order[b]);
        // Every other run is sorted the other way round.
        if (behind == ((low & run) == 0u)) {
          let key = keys[a];
          let place = order[a];
          keys[a] = keys[b];
          order[a] = order[b];
          keys[b] = key;
          order[b] = place;
        }
      }
      storageBarrier();
    }
  }
}
