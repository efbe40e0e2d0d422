/** Names of weights by glob patterns. */

/** A test of names: whether one of the patterns fits. */
export const matcher = (patterns: readonly string[]) => {
  const globs = patterns.map((pattern) => new Bun.Glob(pattern));
  return (name: string) => globs.some((glob) => glob.match(name));
};
