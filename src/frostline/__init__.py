"""frostline finds how deep to freeze: transfer learning experiments on lung CT slices that one can trust."""
