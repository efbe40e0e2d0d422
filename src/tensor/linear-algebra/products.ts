/**
 * Plans matrix products: which kernel of wgsl/matmul, in which variant, on what grid. Nothing is computed here.
 *
 *   nn  C = A B      a (m, k), b (k, n)
 *   nt  C = A B^T    a (m, k), b (n, k)
 *   tn  C = A^T B    a (k, m), b (k, n)
 *
 * Matrices are row-major; C is (m, n), f32. Every kernel binds a, b and c, and bias, addend, offsets and the table of
 * codes where they are asked for. Sums are f32 in an order that depends on the kernel alone, so equal inputs give equal
 * bits.
 */
import { MOST_GROUPS } from "../../gpu/grid.ts";
import type { AdapterProfile } from "../adapter-profile.ts";
import { type Packing, packingFlags, packingParams } from "../packed.ts";
import { type Tuning, tuningOf } from "./tuning.ts";

export type Form = "nn" | "nt" | "tn";

/** A product, or a batch of them. Sizes, strides and starts count values. */
export interface ProductShape {
  readonly form: Form;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Number of products; 1 when left out. */
  readonly batch?: number;
  /** Between rows; the length of a row when left out. */
  readonly lda?: number;
  readonly ldb?: number;
  readonly ldc?: number;
  /** Between the matrices of a batch; their size when left out. 0 uses one matrix for all. */
  readonly strideA?: number;
  readonly strideB?: number;
  readonly strideC?: number;
  /** First value; 0 when left out. */
  readonly startA?: number;
  readonly startB?: number;
  readonly startC?: number;
  /** Storage types; f32 when left out. */
  readonly aDtype?: "f32" | "bf16";
  readonly bDtype?: "f32" | "bf16";
  /** B is rows of codes, all of each: startB and strideB count them. */
  readonly codes?: Packing | undefined;
  /** Adds `bias` (n) to every row. */
  readonly bias?: boolean;
  /** Adds `addend`, laid out as C and another buffer. */
  readonly add?: boolean;
  /** Multiplies the product, neither bias nor addend; 1 when left out. */
  readonly scale?: number;
}

/**
 * Products of rows that are sorted by expert, whose ranges `offsets` (experts + 1, u32) holds on the GPU. In nn and nt,
 * `m` is not used: rows of expert e of A are multiplied by matrix e of B into the same rows of C, and `rows` bounds
 * them. In tn, `k` is not used: matrix e of C is the sum over the rows of expert e of A and B.
 */
export interface GroupedShape extends ProductShape {
  readonly experts: number;
  /** Expert of the first matrix, where B (in tn C) holds those of some; `offsets` is that of all. 0 when left out. */
  readonly firstExpert?: number;
  /** All experts that share `rows`; it chooses the kernel, so that some at a time give the bits of all at once. */
  readonly ofExperts?: number;
  /** Most rows that all experts can have together. */
  readonly rows: number;
}

/** A dispatch without its buffers. `params.accumulate` is 0 (write C) and may be set to 1 (add to C). */
export interface ProductStep {
  readonly kernel: string;
  readonly flags: string[];
  readonly constants: Record<string, number>;
  readonly params: Record<string, number>;
  readonly groups: [number, number, number];
}

const fours = (...values: readonly number[]): boolean => values.every((value) => value % 4 === 0);

type Layout = Required<Pick<ProductShape, "lda" | "ldb" | "ldc" | "strideA" | "strideB" | "strideC">> &
  Required<Pick<ProductShape, "startA" | "startB" | "startC" | "batch">>;

function layoutOf(shape: ProductShape): Layout {
  const { form, m, n, k, startA = 0, startB = 0, startC = 0, batch = 1 } = shape;
  const lda = shape.lda ?? (form === "tn" ? m : k);
  const ldb = shape.codes ? 1 : (shape.ldb ?? (form === "nt" ? k : n));
  const ldc = shape.ldc ?? n;
  const strideA = shape.strideA ?? lda * (form === "tn" ? k : m);
  const strideB = shape.strideB ?? ldb * (form === "nt" ? n : k);
  const strideC = shape.strideC ?? ldc * m;
  return { lda, ldb, ldc, strideA, strideB, strideC, startA, startB, startC, batch };
}

/** Variant: what is read by vectors of four and what one by one, storage types, and what else is added. */
function flagsOf(shape: ProductShape, at: Layout, grouped: boolean): string[] {
  const { form, m, n, k } = shape;
  const wideA = fours(form === "tn" ? m : k, at.lda, at.startA, at.batch > 1 ? at.strideA : 0);
  const wideB = fours(form === "nt" ? k : n, at.ldb, at.startB, at.batch > 1 ? at.strideB : 0);
  const wideC = fours(n, at.ldc, at.startC, at.batch > 1 ? at.strideC : 0);
  const flags: [string, boolean][] = [
    [form, form !== "nn"],
    ["a_bf16", shape.aDtype === "bf16"],
    ["b_bf16", shape.bDtype === "bf16"],
    ["ragged_a", !wideA],
    ["ragged_b", !wideB && !shape.codes],
    ["ragged_c", !wideC],
    ["tail", k % 4 !== 0],
    ["bias", shape.bias === true],
    ["add", shape.add === true],
    ["grouped", grouped],
  ];
  return [...flags.flatMap(([name, set]) => (set ? [name] : [])), ...(shape.codes ? packingFlags(shape.codes) : [])];
}

function paramsOf({ m, n, k, codes, scale = 1 }: ProductShape, at: Layout): Record<string, number> {
  const { lda, ldb, ldc } = at;
  const starts = { start_a: at.startA, start_b: at.startB, start_c: at.startC };
  const strides = { stride_a: at.strideA, stride_b: at.strideB, stride_c: at.strideC };
  const packing = codes ? packingParams(codes) : {};
  return { m, n, k, lda, ldb, ldc, ...starts, ...strides, accumulate: 0, scale, ...packing };
}

function expectSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`${name} of a product must be at least 1, not ${value}`);
  }
}

interface Tile {
  readonly kernel: string;
  /** Rows and columns of C that a workgroup makes. */
  readonly side: number;
  readonly flags: readonly string[];
  readonly constants: Record<string, number>;
}

function tileOf(tuning: Tuning, { subgroupSize }: AdapterProfile, m: number, n: number): Tile {
  if (tuning.kernel === "subgroup") {
    return { kernel: "matmul/subgroup", side: 4 * subgroupSize, flags: [], constants: { LANES: subgroupSize } };
  }
  const large = m * n >= tuning.largeFrom;
  return { kernel: "matmul/tile", side: large ? 128 : 64, flags: large ? ["large"] : [], constants: {} };
}

/** Few rows: matrix times vectors. Undefined where the grid would be too long. */
function planVectors(shape: ProductShape, at: Layout, tuning: Tuning): ProductStep | undefined {
  const { form, m, n } = shape;
  const across = form === "nt" ? 1 : Math.min(8, tuning.vectorLanes);
  const quads = form === "nt" ? 1 : Math.min(tuning.vectorQuads, Math.floor(16 / m));
  const groups = Math.ceil(n / (4 * across * quads));
  if (groups > MOST_GROUPS) return undefined;
  return {
    kernel: "matmul/vector",
    flags: flagsOf(shape, at, false).filter((flag) => flag !== "ragged_c"),
    constants: { LANES: tuning.vectorLanes, ACROSS: across, ROWS: m, QUADS: quads },
    params: paramsOf(shape, at),
    groups: [groups, 1, at.batch],
  };
}

/** Plans C = scale op(A) op(B) + bias + addend. Throws RangeError for sizes below 1. */
export function planProduct(shape: ProductShape, profile: AdapterProfile, tuning = tuningOf(profile)): ProductStep {
  const { form, m, n, k } = shape;
  const at = layoutOf(shape);
  expectSizes({ m, n, k, batch: at.batch });
  const vectors = m <= tuning.vectorRows && form !== "tn" ? planVectors(shape, at, tuning) : undefined;
  if (vectors) return vectors;
  const { kernel, side, flags, constants } = tileOf(tuning, profile, m, n);
  const params = { ...paramsOf(shape, at), experts: 1, first_expert: 0 };
  const groups: [number, number, number] = [Math.ceil(n / side), Math.ceil(m / side), at.batch];
  return { kernel, flags: [...flagsOf(shape, at, false), ...flags], constants, params, groups };
}

/** Plans the products of rows sorted by expert; the step also binds `offsets`. Throws RangeError for sizes below 1. */
export function planGroupedProduct(shape: GroupedShape, profile: AdapterProfile): ProductStep {
  const { form, n, experts, rows } = shape;
  const m = form === "tn" ? shape.m : rows;
  const k = form === "tn" ? rows : shape.k;
  expectSizes({ m, n, k, experts });
  const whole = { ...shape, m, k, batch: experts };
  const at = layoutOf(whole);
  // Rows of one matrix belong to all experts: only the others have a stride, and k may end anywhere in tn.
  const flags = flagsOf(
    whole,
    form === "tn" ? { ...at, strideA: 0, strideB: 0 } : { ...at, strideA: 0, strideC: 0 },
    true,
  );
  const rowsEach = form === "tn" ? m : Math.ceil(rows / (shape.ofExperts ?? experts));
  const { kernel, side, flags: size, constants } = tileOf(tuningOf(profile), profile, rowsEach, n);
  const across = Math.ceil(n / side);
  const groups: [number, number, number] =
    form === "tn"
      ? [across, Math.ceil(m / side), experts]
      : [across, Math.floor(rows / side) + Math.min(experts, rows), 1];
  const params = { ...paramsOf(whole, at), experts, first_expert: shape.firstExpert ?? 0 };
  return { kernel, flags: [...flags, ...size], constants, params, groups };
}
