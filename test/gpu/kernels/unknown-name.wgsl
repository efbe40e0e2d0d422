// Does not link, on purpose: see test/gpu/kernel.test.ts.

@group(0) @binding(0) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(64)
fn unknown_name(@builtin(global_invocation_id) id: vec3u) {
  result[id.x] = nowhere;
}
