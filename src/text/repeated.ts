/** The first text of a list that stands there a second time, in one spelling or, with `same`, in another. */
export function repeated(list: readonly string[], same: (text: string) => string = (text) => text): string | undefined {
  const seen = new Set<string>();
  return list.find((text) => {
    const known = seen.has(same(text));
    seen.add(same(text));
    return known;
  });
}
