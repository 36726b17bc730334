// Finding elements of the page.

export const el = (id) => document.getElementById(id);
export const button = (action) => document.querySelector(`button[data-action="${action}"]`);
export const radios = () => document.querySelectorAll('input[name="diagnosis"]');
