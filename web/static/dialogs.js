import { make } from './dom.js';

/** Asks before something is done; resolves to whether it may. The safe answer has the focus, and focus returns. */
export function confirm(title, explanation, yes) {
  return open((close) => [
    make('h2', { id: 'dialog-title' }, title),
    make('p', {}, explanation),
    make('div', { class: 'actions' },
      make('button', { type: 'button', autofocus: true, click: () => close(false) }, 'Cancel'),
      make('button', { type: 'button', class: 'danger', id: 'confirm', click: () => close(true) }, yes)),
  ], false);
}

/** Asks for the token, which was wrong before or not known; resolves to it, or to ''. */
export function askToken(wrong) {
  const input = make('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Token', autofocus: true });
  return open((close) => {
    const done = () => close(input.value.trim());
    input.addEventListener('keydown', (e) => e.key === 'Enter' && done());
    return [
      make('h2', { id: 'dialog-title' }, 'Token'),
      make('p', {}, 'This gateway asks for the token that stands in the file named by http.token_file. It is kept until the tab is closed.'),
      ...(wrong ? [make('p', { class: 'callout' }, 'The token was wrong.')] : []),
      input,
      make('div', { class: 'actions' }, make('button', { type: 'button', class: 'primary', click: done }, 'Continue')),
    ];
  }, '');
}

function open(content, otherwise) {
  const before = document.activeElement;
  return new Promise((resolve) => {
    let answer = otherwise;
    const dialog = make('dialog', { 'aria-labelledby': 'dialog-title' });
    dialog.append(...content((value) => {
      answer = value;
      dialog.close();
    }));
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
