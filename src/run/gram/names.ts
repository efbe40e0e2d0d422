/** How a file of Gram matrices names what belongs to a weight, for the one who writes it and the one who reads it. */

/**
 * The name of the weight, whose last axis the inputs meet; with `@in-first` where it is stored as (in, out), which a
 * square shape does not tell.
 */
export const gramName = (weight: string, inFirst: boolean): string => (inFirst ? `${weight}@in-first` : weight);
