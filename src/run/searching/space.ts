/**
 * The space of a search: what may vary in a recipe, one gene per number or choice. A point has a value for every gene,
 * in the order of the genes. Algorithms that compute with coordinates see the unit cube.
 */

/** A number in [low, high]; `log` spreads the unit interval over its logarithm. */
export interface RealGene {
  readonly kind: "real";
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly log?: boolean;
  readonly default: number;
  /** Of a weight: the position of its model among those that the recipe merges, the base not counted. */
  readonly weightOf?: number;
}

/** A whole number from low to high, both included. */
export interface IntegerGene {
  readonly kind: "integer";
  readonly name: string;
  readonly low: number;
  readonly high: number;
  readonly default: number;
}

/** One of several values. */
export interface ChoiceGene {
  readonly kind: "choice";
  readonly name: string;
  readonly choices: readonly (number | string | boolean)[];
  readonly default: number | string | boolean;
}

export type Gene = RealGene | IntegerGene | ChoiceGene;
export type Space = readonly Gene[];
export type GeneValue = number | string | boolean;

/** One value per gene of the space, in its order. */
export type GeneValues = readonly GeneValue[];

/** Values that a gene can take; Infinity for a real one. */
export function sizeOfGene(gene: Gene): number {
  if (gene.kind === "choice") return gene.choices.length;
  if (gene.low === gene.high) return 1;
  return gene.kind === "integer" ? gene.high - gene.low + 1 : Number.POSITIVE_INFINITY;
}

/** The defaults of all genes: where a search begins. */
export const defaults = (space: Space): GeneValues => space.map((gene) => gene.default);

/**
 * The value at a place of the unit interval; places outside it count as its ends. Whole numbers and choices have parts
 * of equal length.
 */
export function valueAt(gene: Gene, place: number): GeneValue {
  const unit = Math.min(Math.max(place, 0), 1);
  if (gene.kind === "choice")
    return gene.choices[Math.min(Math.floor(unit * gene.choices.length), gene.choices.length - 1)]!;
  const { low, high } = gene;
  if (gene.kind === "integer") return Math.min(low + Math.floor(unit * (high - low + 1)), high);
  const value = gene.log ? low * (high / low) ** unit : low + unit * (high - low);
  return Math.min(Math.max(value, low), high);
}

/** The place of a value in the unit interval; the middle of its part for whole numbers and choices. */
export function placeOf(gene: Gene, value: GeneValue): number {
  if (gene.kind === "choice") return (gene.choices.indexOf(value) + 0.5) / gene.choices.length;
  const { low, high } = gene;
  const number = value as number;
  if (low === high) return 0.5;
  if (gene.kind === "integer") return (number - low + 0.5) / (high - low + 1);
  return gene.log ? Math.log(number / low) / Math.log(high / low) : (number - low) / (high - low);
}

/** The point at coordinates of the unit cube. */
export const pointAt = (space: Space, places: readonly number[]): GeneValues =>
  space.map((gene, i) => valueAt(gene, places[i]!));

/** Coordinates of a point in the unit cube. */
export const placesOf = (space: Space, values: GeneValues): number[] =>
  space.map((gene, i) => placeOf(gene, values[i]!));

/** Coordinates for a kernel: a place per number, a coordinate per value of a choice. */
export const coordinatesOf = (space: Space, values: GeneValues): number[] =>
  space.flatMap((gene, i) =>
    gene.kind === "choice" ? gene.choices.map((c) => (c === values[i] ? 1 : 0)) : [placeOf(gene, values[i]!)],
  );

/** Whether a point is of a space: so many values, each one that its gene can take. */
export function isIn(space: Space, values: GeneValues): boolean {
  return (
    values.length === space.length &&
    space.every((gene, i) => {
      const value = values[i]!;
      if (gene.kind === "choice") return gene.choices.includes(value);
      if (typeof value !== "number" || !(value >= gene.low && value <= gene.high)) return false;
      return gene.kind === "real" || Number.isInteger(value);
    })
  );
}
