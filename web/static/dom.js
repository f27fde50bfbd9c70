// The few things that the page does to its document. Text is always set as text.

/** Makes an element; children are elements or text, attributes with a function are listeners. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}

/** Sets the text of an element, if it is another. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Sets data-name of an element, if it is another. */
export function data(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

/** Shows an element or hides it. */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}
