type Key = { nativeEvent: { isComposing: boolean; keyCode: number } };

/**
 * Whether a key belongs to an input method: Enter takes a word that is being put together, and Escape gives it up;
 * neither means what it means in the field. Safari ends the composition before it tells of the key, which then
 * has the code 229 only.
 */
export function isComposing({ nativeEvent }: Key): boolean {
  return nativeEvent.isComposing || nativeEvent.keyCode === 229;
}
