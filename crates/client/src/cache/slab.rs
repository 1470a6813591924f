//! Values by small numbers. The number of a removed value is used again.

/// The values by number; the first number is 1.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds a value; returns its number.
    pub(super) fn admit(&mut self, one: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len()).expect("there is no memory for so many")
        });
        self.put(number, one);
        number
    }

    /// Takes a value out, which [`Self::put`] will put back.
    pub(super) fn lend(&mut self, number: u32) -> Option<T> {
        self.places.get_mut((number as usize).checked_sub(1)?)?.take()
    }

    /// Puts a value back.
    pub(super) fn put(&mut self, number: u32, one: T) {
        if let Some(place) = self.places.get_mut(number as usize - 1) {
            *place = Some(one);
        }
    }

    /// Removes a value, whose number is free after that.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        let one = self.lend(number)?;
        self.free.push(number);
        Some(one)
    }

    /// Says whether there are no values. A value that is lent counts.
    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get((number as usize).checked_sub(1)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut((number as usize).checked_sub(1)?)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (1..).zip(&self.places).filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }
}
