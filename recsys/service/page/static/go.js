// Opens a page as a link does: its main part is loaded, and the address is in the history.
export const go = (address) => {
  const link = document.createElement("a");
  link.href = address;
  link.hidden = true;
  link.setAttribute("hx-boost", "true");
  document.body.append(link);
  window.htmx.process(link);
  link.click();
  link.remove();
};
