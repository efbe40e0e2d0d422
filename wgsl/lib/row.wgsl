// One row at a time: by a workgroup of 64 lanes whose reductions every lane gets (a tree of fixed order), or with
// `serial` by a single lane, which suits software drivers, where barriers cost more than anything else (2.5 times the
// whole kernel).

import package::lib::grid::span_of;

@if(!serial) var<workgroup> row_partial: array<f32, 64>;

// The row that a lane works on.
fn row_of(lane: u32, group: vec3u, groups: vec3u) -> u32 {
  @if(!serial) return span_of(group, groups);
  @if(serial) return span_of(group, groups) * 64u + lane;
}

// The entries of the row that a lane visits: from `row_first` on, `row_step` apart.
fn row_first(lane: u32) -> u32 {
  @if(!serial) return lane;
  @if(serial) return 0u;
}
@if(!serial) const row_step = 64u;
@if(serial) const row_step = 1u;

// Whether a lane writes what a row has one of.
fn row_leads(lane: u32) -> bool {
  @if(!serial) return lane == 0u;
  @if(serial) return true;
}

fn row_sum(x: f32, lane: u32) -> f32 {
  @if(serial) return x;
  @if(!serial) workgroupBarrier(); // the result of the reduction before may still be read
  @if(!serial) row_partial[lane] = x;
  @if(!serial) for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { row_partial[lane] += row_partial[lane + half]; }
  }
  @if(!serial) workgroupBarrier();
  @if(!serial) return row_partial[0];
}

fn row_max(x: f32, lane: u32) -> f32 {
  @if(serial) return x;
  @if(!serial) workgroupBarrier();
  @if(!serial) row_partial[lane] = x;
  @if(!serial) for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { row_partial[lane] = max(row_partial[lane], row_partial[lane + half]); }
  }
  @if(!serial) workgroupBarrier();
  @if(!serial) return row_partial[0];
}
