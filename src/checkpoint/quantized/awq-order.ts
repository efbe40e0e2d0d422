/** The order in which AWQ puts eight outputs into a word. */

/** Place of the nibble of output r of eight: nibble n is output [0, 2, 4, 6, 1, 3, 5, 7][n]. */
export const AWQ_SHIFTS: readonly number[] = [0, 4, 1, 5, 2, 6, 3, 7].map((nibble) => 4 * nibble);
