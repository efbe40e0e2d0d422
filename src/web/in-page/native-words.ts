/** A browser's GPU writes nothing to a stderr. */
export const withoutLines = <T>(_known: RegExp, call: () => T): T => call();
