/** Options that several approximations share. */

/** How many shared tokens a new one is made of. */
export const NEIGHBOURS = {
  type: "number.integer >= 1",
  default: 64,
  short: "k",
  value: "N",
  help: "most shared tokens that a new row is made of",
} as const;
